"""Pages of a list, newest first: a cursor is the public id of the last entry of a page."""

from typing import Any, TypeVar
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import Model
from rest_framework import serializers
from rest_framework.request import Request

from config.errors import InvalidCursor
from config.serializers import QuerySerializer, TextField
from tenants.querysets import TenantQuerySet

Row = TypeVar("Row", bound=Model)


class PageQuerySerializer(QuerySerializer):
    """The query string of a list."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    cursor = TextField(required=False, max_length=100, help_text="From the `next` link of a page.")


def page(request: Request, rows: TenantQuerySet, *, by: str) -> tuple[list[Any], str | None]:
    """The page that the request asks for, and the link to the next one.

    by  the field that holds the public id. Raises InvalidCursor for an id that is not among the
        tenant's, whether another tenant has it or nobody
    """
    parameters = PageQuerySerializer(data=request.query_params)
    parameters.is_valid(raise_exception=True)
    query = parameters.validated_data
    shown, following = rows_before(rows, query.get("cursor"), by=by, limit=query["limit"])
    if following is None:
        return shown, None
    return shown, f"{request.path}?{urlencode({'limit': query['limit'], 'cursor': following})}"


def rows_before(
    rows: TenantQuerySet, cursor: str | None, *, by: str, limit: int
) -> tuple[list[Any], str | None]:
    """So many rows before the one with that public id, or the newest; and the id to go on with,
    None at the end. Raises InvalidCursor."""
    if cursor is not None:
        rows = rows.filter(pk__lt=_place(rows, by, cursor))
    found = list(rows.order_by("-pk")[: limit + 1])
    shown = found[:limit]
    return shown, getattr(shown[-1], by) if len(found) > len(shown) else None


def _place(rows: TenantQuerySet, by: str, cursor: str) -> int:
    try:
        place = rows.filter(**{by: cursor}).values_list("pk", flat=True).first()
    except ValidationError:  # no UUID
        place = None
    if place is None:
        raise InvalidCursor
    return int(place)
