"""SQL that Django has no words for."""

from typing import Any

from django.db.models import CharField, DateField, DateTimeField, Func, JSONField, Lookup


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


@JSONField.register_lookup
class HasPath(Lookup):
    """field__jsonpath='$.* ? (@ == "x")': whether the path finds something; a GIN index helps."""

    lookup_name = "jsonpath"
    prepare_rhs = False

    def get_db_prep_lookup(self, value: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s::jsonpath", (value,)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, of_left = self.process_lhs(compiler, connection)
        right, of_right = self.process_rhs(compiler, connection)
        return f"{left} @? {right}", (*of_left, *of_right)
