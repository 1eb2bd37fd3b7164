"""SQL that Django has no words for."""

from django.db.models import DateField, DateTimeField, Func


class ClockTimestamp(Func):
    """The time now, not when the transaction began."""

    function = "clock_timestamp"
    output_field = DateTimeField()


class Today(Func):
    """The day in UTC, by the database's clock: budgets begin and end with it."""

    function = "guidepost_today"
    output_field = DateField()
