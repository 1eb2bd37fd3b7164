"""SQL that Django has no words for."""

from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """The time now, not when the transaction began."""

    function = "clock_timestamp"
    output_field = DateTimeField()
