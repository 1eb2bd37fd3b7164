"""GET /limits and GET /usage: what applies, what was used, what is left."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config import replica
from config.isolation import DatabaseRole
from config.openapi import ProblemSerializer
from config.serializers import QuerySerializer
from jobs import usage
from jobs.exports import csv_table
from tenants.authentication import principal
from tenants.models import Scope
from tenants.scope import TenantView

DEFAULT_DAYS = 30
REFUSALS = dict.fromkeys((401, 403, 429), ProblemSerializer)


class CSVRenderer(BaseRenderer):
    """Rows as a table; problems stay problems."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if "data" not in data:
            return json.dumps(data, ensure_ascii=False).encode()
        return table(data["data"], data["by"])


def table(rows: list[dict[str, Any]], by: str) -> bytes:
    """The rows of `usage.used` as CSV, safe to open in a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([by, *usage.COLUMNS])
    writer.writerows([csv_table.cell(value) for value in row.values()] for row in rows)
    return text.getvalue().encode()


def as_file(query: dict[str, Any]) -> dict[str, str]:
    """The headers under which a browser keeps the table."""
    name = f"usage-{query['from']}-{query['to']}-by-{query['by']}.csv"
    return {"Content-Disposition": f'attachment; filename="{name}"'}


# --- /limits --------------------------------------------------------------------------------


class RateSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="As in the headers RateLimit and RateLimit-Policy.")
    scope = serializers.ChoiceField(choices=["tenant", "key"])
    limit = serializers.IntegerField(help_text="Requests in any window.")
    window_seconds = serializers.IntegerField()
    left = serializers.IntegerField(allow_null=True, help_text="Null: not known just now.")
    resets_in_seconds = serializers.IntegerField(
        allow_null=True, help_text="Until more is left than now."
    )


class CapSerializer(serializers.Serializer):
    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    left = serializers.IntegerField()


class JobCapsSerializer(serializers.Serializer):
    running = CapSerializer()
    waiting = CapSerializer()


class BudgetSerializer(serializers.Serializer):
    name = serializers.ChoiceField(choices=["tokens_per_day", "money_per_month"])
    unit = serializers.ChoiceField(choices=["tokens", "micro_usd"])
    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    reserved = serializers.IntegerField(help_text="Promised to jobs that have not ended.")
    left = serializers.IntegerField()
    resets_at = serializers.DateTimeField()


class ModelsSerializer(serializers.Serializer):
    default = serializers.CharField(help_text="Of jobs that name none.")
    fallbacks = serializers.ListField(
        child=serializers.CharField(), help_text="Asked in this order while the default is away."
    )
    allowed = serializers.ListField(
        child=serializers.CharField(), help_text="What a job may name as `options.model`."
    )


class LimitsSerializer(serializers.Serializer):
    plan = serializers.CharField()
    models = ModelsSerializer()
    rates = RateSerializer(many=True)
    jobs = JobCapsSerializer()
    budgets = BudgetSerializer(many=True)


class LimitsView(TenantView):
    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.USAGE_READ}

    @extend_schema(
        operation_id="getLimits",
        summary="What applies to you now, and what is left",
        description="Models that may be used, rate limits of your tenant and of this key, jobs at"
        " once, and budgets."
        " Money is in millionths of a dollar. Scope: `usage:read`.",
        tags=["Usage"],
        responses={200: LimitsSerializer, **REFUSALS},
        examples=[
            OpenApiExample(
                "Limits",
                value={
                    "plan": "standard",
                    "models": {
                        "default": "gpt-4.1-mini",
                        "fallbacks": ["gpt-4.1-nano"],
                        "allowed": ["gpt-4.1-mini", "gpt-4.1-nano"],
                    },
                    "rates": [
                        {
                            "name": "submit",
                            "scope": "tenant",
                            "limit": 600,
                            "window_seconds": 60,
                            "left": 598,
                            "resets_in_seconds": 41,
                        }
                    ],
                    "jobs": {
                        "running": {"limit": 16, "used": 2, "left": 14},
                        "waiting": {"limit": 10000, "used": 0, "left": 10000},
                    },
                    "budgets": [
                        {
                            "name": "tokens_per_day",
                            "unit": "tokens",
                            "limit": 100000000,
                            "used": 81234,
                            "reserved": 52000,
                            "left": 99866766,
                            "resets_at": "2026-11-25T00:00:00Z",
                        }
                    ],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        caller = principal(request)
        limits, models = caller.limits, caller.preferences.models
        running, waiting = usage.caps(caller.tenant_id)
        return Response(
            {
                "plan": limits.plan,
                "models": {
                    "default": next(iter(models), ""),
                    "fallbacks": models[1:],
                    "allowed": caller.preferences.allowed,
                },
                "rates": usage.rates(caller.tenant_id, caller.subject, limits),
                "jobs": {
                    name: {**asdict(cap), "left": cap.left}
                    for name, cap in (("running", running), ("waiting", waiting))
                },
                "budgets": BudgetSerializer(usage.budgets(caller.tenant_id), many=True).data,
            }
        )


# --- /usage ---------------------------------------------------------------------------------


class UsageQuerySerializer(QuerySerializer):
    """`from`, `to` and `by`; the first is a word of Python, hence `get_fields`."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            "from": serializers.DateField(required=False),
            "to": serializers.DateField(required=False),
            "by": serializers.ChoiceField(choices=list(usage.GROUPS), default="day"),
        }

    def validate(self, query: dict[str, Any]) -> dict[str, Any]:
        query.setdefault("to", max(today(), query.get("from", date.min)))
        start = timedelta(days=DEFAULT_DAYS - 1)
        query.setdefault("from", query["to"] - min(start, query["to"] - date.min))
        if query["from"] > query["to"]:
            raise serializers.ValidationError({"from": "It is later than `to`."})
        if (query["to"] - query["from"]).days >= usage.MAX_DAYS:
            raise serializers.ValidationError({"from": f"Ask for at most {usage.MAX_DAYS} days."})
        return query


class UsageRowSerializer(serializers.Serializer):
    day = serializers.DateField(required=False)
    key = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    jobs = serializers.IntegerField()
    calls = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    charged_tokens = serializers.IntegerField(
        help_text="What the budget counts: also calls whose answer was lost, at what they may"
        " have cost."
    )
    cost_micro_usd = serializers.IntegerField(help_text="Millionths of a dollar.")


class UsageReportSerializer(serializers.Serializer):
    by = serializers.ChoiceField(choices=list(usage.GROUPS))
    data = UsageRowSerializer(many=True)  # type: ignore[assignment]

    def get_fields(self) -> dict[str, serializers.Field]:
        days = {"from": serializers.DateField(), "to": serializers.DateField()}
        return {**days, **super().get_fields()}


def _parameter(name: str, kind: Any, text: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=text, **more)


PARAMETERS = [
    _parameter("from", OpenApiTypes.DATE, f"The first day, UTC; {DEFAULT_DAYS} days unless given."),
    _parameter("to", OpenApiTypes.DATE, "The last day, included; today unless given."),
    _parameter("by", OpenApiTypes.STR, "What is added up.", enum=list(usage.GROUPS), default="day"),
]
ROW = {
    "jobs": 12,
    "calls": 26,
    "prompt_tokens": 41830,
    "completion_tokens": 12011,
    "charged_tokens": 53841,
    "cost_micro_usd": 35950,
}
REPORT = {
    "from": "2026-11-01",
    "to": "2026-11-30",
    "by": "day",
    "data": [{"day": "2026-11-24", **ROW}],
}


class UsageView(TenantView):
    http_method_names = ["get", "head"]
    required_scopes = {"GET": Scope.USAGE_READ}
    renderer_classes = [JSONRenderer, CSVRenderer]

    @extend_schema(
        operation_id="getUsage",
        summary="What was used, by day, key or model",
        description="A call belongs to the day, in UTC, on which it started. With"
        " `Accept: text/csv` as a table. Scope: `usage:read`.",
        tags=["Usage"],
        parameters=PARAMETERS,
        responses={
            (200, "application/json"): UsageReportSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            422: ProblemSerializer,
            **REFUSALS,
        },
        examples=[
            OpenApiExample(
                "By day", value=REPORT, response_only=True, media_type="application/json"
            )
        ],
    )
    def get(self, request: Request) -> Response:
        parameters = UsageQuerySerializer(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        query = parameters.validated_data
        first, last, by = query["from"], query["to"], query["by"]
        tenant_id = principal(request).tenant_id
        used = partial(usage.used, tenant_id, first=first, last=last, by=by)
        rows = replica.read(used, DatabaseRole.API, tenant_id)
        body = {"from": first.isoformat(), "to": last.isoformat(), "by": by, "data": rows}
        is_file = isinstance(request.accepted_renderer, CSVRenderer)
        return Response(body, headers=as_file(query) if is_file else None)


class UsageTableView(UsageView):
    renderer_classes = [CSVRenderer]

    @extend_schema(
        operation_id="getUsageTable",
        summary="The same as a CSV file",
        description="Cells that a spreadsheet would take for formulas begin with an apostrophe."
        " Scope: `usage:read`.",
        tags=["Usage"],
        parameters=PARAMETERS,
        responses={(200, "text/csv"): OpenApiTypes.STR, 422: ProblemSerializer, **REFUSALS},
    )
    def get(self, request: Request) -> Response:
        return super().get(request)


def today() -> date:
    return datetime.now(UTC).date()
