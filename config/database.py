"""SQL that Django has no words for."""

from django.db.models import CharField, DateField, DateTimeField, Func


class ClockTimestamp(Func):
    """The time now, not when the transaction began."""

    function = "clock_timestamp"
    output_field = DateTimeField()


class KeyIdOf(Func):
    """The id of the key that a value is sealed with (see `config.crypto.KeyRing`)."""

    template = (
        "encode(substring(%(expressions)s FROM 3 FOR get_byte(%(expressions)s, 1)), 'escape')"
    )
    output_field = CharField(max_length=32)


class Today(Func):
    """The day in UTC, by the database's clock: budgets begin and end with it."""

    function = "guidepost_today"
    output_field = DateField()
