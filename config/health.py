"""/healthz: the process runs. /readyz: what it needs answers."""

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from drf_spectacular.utils import OpenApiExample, extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import replica
from config.views import PublicView


class HealthSerializer(serializers.Serializer):
    status = serializers.ChoiceField(choices=["ok", "degraded", "unavailable"])
    checks = serializers.DictField(child=serializers.CharField(), required=False)


class HealthView(PublicView):
    @extend_schema(
        operation_id="health",
        summary="Is the process running?",
        description="Touches no dependency: for liveness probes.",
        tags=["Health"],
        auth=[],
        responses={200: HealthSerializer},
        examples=[OpenApiExample("Running", value={"status": "ok"}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(PublicView):
    @extend_schema(
        operation_id="ready",
        summary="Can this instance take requests?",
        description="`degraded` (200): Redis is away; jobs are accepted and start when it is"
        " back. `unavailable` (503): PostgreSQL is away; nothing can be accepted.",
        tags=["Health"],
        auth=[],
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        checks = {"postgresql": _postgresql(), "redis": _redis()}
        if checks["postgresql"] != "ok":
            return Response({"status": "unavailable", "checks": checks}, status=503)
        status = "ok" if checks["redis"] == "ok" else "degraded"
        if replica.is_configured():
            checks["replica"] = replica.standing()  # without it nothing fails
        return Response({"status": status, "checks": checks})


def _postgresql() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unavailable"
    return "ok"


def _redis() -> str:
    try:
        cache.set("readyz", "", timeout=60)  # a Redis that only reads counts nothing
    except RedisError:
        return "unavailable"
    return "ok"
