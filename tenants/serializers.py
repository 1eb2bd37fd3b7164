"""What the audit log looks like in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.models import ActorKind, AuditEntry


class ActorSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=ActorKind.choices)
    name = serializers.CharField(help_text="A client_id, an e-mail address; empty if erased.")


class ObjectSerializer(serializers.Serializer):
    type = serializers.CharField()
    id = serializers.CharField()


class AuditEntrySerializer(serializers.ModelSerializer):
    seq = serializers.SerializerMethodField()
    hash = serializers.SerializerMethodField()
    actor = serializers.SerializerMethodField()
    object = serializers.SerializerMethodField()
    outcome = serializers.ChoiceField(choices=AuditEntry.Outcome.choices)
    before = serializers.DictField(allow_null=True, help_text="What changed, by field.")
    after = serializers.DictField(allow_null=True)

    class Meta:
        model = AuditEntry
        fields = [
            "at",
            "seq",
            "hash",
            "actor",
            "on_behalf_of",
            "address",
            "request_id",
            "action",
            "outcome",
            "object",
            "before",
            "after",
        ]
        read_only_fields = fields

    @extend_schema_field(
        serializers.IntegerField(
            allow_null=True, help_text="Place in the tenant's chain; null until it is sealed."
        )
    )
    def get_seq(self, entry: AuditEntry) -> int | None:
        return entry.seal.seq if hasattr(entry, "seal") else None

    @extend_schema_field(serializers.CharField(allow_null=True, help_text="SHA-256, in hex."))
    def get_hash(self, entry: AuditEntry) -> str | None:
        return bytes(entry.seal.hash).hex() if hasattr(entry, "seal") else None

    @extend_schema_field(ActorSerializer)
    def get_actor(self, entry: AuditEntry) -> dict[str, str]:
        return {"kind": entry.actor_kind, "name": entry.actor}

    @extend_schema_field(ObjectSerializer(allow_null=True))
    def get_object(self, entry: AuditEntry) -> dict[str, Any] | None:
        if not entry.object_type:
            return None
        return {"type": entry.object_type, "id": entry.object_id}


class AuditPageSerializer(serializers.Serializer):
    data = AuditEntrySerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


class AuditQuerySerializer(serializers.Serializer):
    """The query string of GET /audit."""

    action = serializers.CharField(required=False, help_text="Such as `job.cancelled`.")
    actor = serializers.CharField(required=False, help_text="A client_id or an e-mail address.")
    object_type = serializers.CharField(required=False, help_text="`job`, `key`, …")
    object_id = serializers.CharField(required=False)
    outcome = serializers.ChoiceField(choices=AuditEntry.Outcome.choices, required=False)
    after = serializers.DateTimeField(required=False, help_text="At this time or later.")
    before = serializers.DateTimeField(required=False, help_text="Earlier than this.")
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    cursor = serializers.CharField(required=False, help_text="From the `next` link of a page.")
