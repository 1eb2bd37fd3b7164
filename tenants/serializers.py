"""Keys, people and the audit log on the wire: what comes in is checked, what goes out is named."""

import re
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.addresses import normalised_network
from config.serializers import QuerySerializer, StrictSerializer, TextField, TruthField
from tenants.languages import ACCEPTED, LanguageField
from tenants.models import (
    ActorKind,
    ApiKey,
    AuditEntry,
    Invitation,
    Membership,
    OnDoubt,
    ProviderKey,
    Role,
    Scope,
)

NETWORKS = 50  # that a key may be used from, at most
KEY_STATUSES = ["active", "expired", "revoked"]
MAX_MODELS = 20
MIN_PROVIDER_KEY, MAX_PROVIDER_KEY = 20, 300  # characters; four of them are shown
PROVIDER_KEY = re.compile(r"[!-~]+")
MAX_OVERLAP = 7 * 24 * 60  # minutes


@extend_schema_field(OpenApiTypes.STR)
class NetworkField(TextField):
    def to_internal_value(self, data: Any) -> str:
        try:
            return normalised_network(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(
                f"Not a network: {error}. Send a CIDR such as 192.0.2.0/24 or 2001:db8::/32.",
                code="invalid",
            ) from None


def scopes_field(**options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=len(Scope),
        help_text="No more than you hold yourself, and never `members:manage` or"
        " `settings:manage`.",
        **options,
    )


def expires_at_field(**options: Any) -> serializers.DateTimeField:
    return serializers.DateTimeField(
        required=False, allow_null=True, help_text="Null: does not expire.", **options
    )


def networks_field(**options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=NetworkField(max_length=64),
        max_length=NETWORKS,
        required=False,
        help_text="CIDRs, IPv4 or IPv6, that it may be used from. Empty: from anywhere.",
        **options,
    )


class KeyFields(StrictSerializer):
    def validate_expires_at(self, at: datetime | None) -> datetime | None:
        if at is not None and at <= timezone.now():
            raise serializers.ValidationError("This is over already.", code="past")
        return at


class KeyCreateSerializer(KeyFields):
    """A new key."""

    name = TextField(max_length=100, help_text="For people: what uses the key, and where.")
    scopes = scopes_field()
    expires_at = expires_at_field()
    allowed_networks = networks_field()


class KeyChangeSerializer(KeyFields):
    """What is left out stays as it is."""

    name = TextField(max_length=100, required=False)
    scopes = scopes_field(required=False)
    expires_at = expires_at_field()
    allowed_networks = networks_field()


class KeyRotateSerializer(StrictSerializer):
    """How long the old secret goes on working."""

    overlap_minutes = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP,
        default=0,
        error_messages={
            "min_value": "At least {min_value} minutes.",
            "max_value": "At most {max_value} minutes, which are 7 days.",
        },
        help_text="For so long both secrets work. 0: the old one ends at once.",
    )


class KeySerializer(serializers.ModelSerializer):
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    status = serializers.SerializerMethodField()
    previous_secret_until = serializers.DateTimeField(
        source="previous_until",
        allow_null=True,
        help_text="Until then the secret before the last rotation works too.",
    )
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To a minute.")
    last_used_address = serializers.CharField()

    class Meta:
        model = ApiKey
        fields = [
            "client_id",
            "name",
            "status",
            "scopes",
            "allowed_networks",
            "created_at",
            "expires_at",
            "rotated_at",
            "previous_secret_until",
            "revoked_at",
            "last_used_at",
            "last_used_address",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=KEY_STATUSES))
    def get_status(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "active" if key.is_usable else "expired"


class NewKeySerializer(KeySerializer):
    """The only answer that holds the secret."""

    client_secret = serializers.CharField(help_text="Shown now and never again.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "client_secret"]


class KeyPageSerializer(serializers.Serializer):
    data = KeySerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


# --- People -----------------------------------------------------------------------------------


class MemberSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id")
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(choices=Role.choices)
    can_sign_in = serializers.BooleanField(source="user.is_active")
    sees_own_only = serializers.BooleanField(
        help_text="Sees only jobs they submitted, and jobs shared with them or their role."
    )
    joined_at = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Membership
        fields = ["id", "email", "name", "role", "sees_own_only", "can_sign_in", "joined_at"]
        read_only_fields = fields


class MemberPageSerializer(serializers.Serializer):
    data = MemberSerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


class MemberChangeSerializer(StrictSerializer):
    """What is left out stays as it is."""

    role = serializers.ChoiceField(choices=Role.choices, required=False)
    sees_own_only = TruthField(
        required=False, help_text="For members and viewers; owners and admins see all jobs."
    )


class InvitationCreateSerializer(StrictSerializer):
    """Whom to invite, and as what."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=Role.choices)
    sees_own_only = TruthField(
        default=False, help_text="For members and viewers; owners and admins see all jobs."
    )


class InvitationSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="public_id")
    role = serializers.ChoiceField(choices=Role.choices)
    sees_own_only = serializers.BooleanField(help_text="As a member: see `GET /members`.")
    invited_by = serializers.EmailField(source="invited_by.email", allow_null=True)

    class Meta:
        model = Invitation
        fields = [
            "id",
            "email",
            "role",
            "sees_own_only",
            "invited_by",
            "created_at",
            "expires_at",
        ]
        read_only_fields = fields


class InvitationPageSerializer(serializers.Serializer):
    data = InvitationSerializer(many=True)  # type: ignore[assignment]
    next = serializers.CharField(allow_null=True, help_text="The next page, or null.")


class MyTenantSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()


class MeSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=ActorKind.choices)
    subject = serializers.CharField(help_text="A key's client id, or a person's public id.")
    name = serializers.CharField(help_text="A person's e-mail address; empty for a key.")
    tenant = MyTenantSerializer()
    role = serializers.CharField(help_text="Of a person; empty for a key.")
    sees_own_only = serializers.BooleanField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))


# --- Settings ---------------------------------------------------------------------------------


class SettingsChangeSerializer(StrictSerializer):
    """What is left out stays as it is."""

    on_doubt = serializers.ChoiceField(
        choices=OnDoubt.values,
        required=False,
        help_text="What becomes of an item whose meaning is in doubt, unless a job says otherwise.",
    )
    language = LanguageField(
        required=False,
        allow_blank=True,
        help_text=f"Of checklists. {ACCEPTED} Empty: the guideline's own. The offline engine cannot"
        " translate and leaves all in the guideline's language.",
    )
    models = serializers.ListField(
        child=TextField(max_length=200),
        required=False,
        max_length=MAX_MODELS,
        source="preferred_models",
        help_text="Of `allowed_models`: the first is the default, the others are asked in this"
        " order while it is away. Empty: the installation's first, and no fallback.",
    )
    retention_days = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=36_500,
        error_messages={
            "min_value": "At least {min_value} day.",
            "max_value": "At most {max_value} days.",
        },
        help_text="Jobs are deleted so long after their end. Null: as your plan says.",
    )

    def validate_models(self, models: list[str]) -> list[str]:
        if len(set(models)) < len(models):
            raise serializers.ValidationError("A model stands here twice.", code="repeated")
        return models


class SettingsSerializer(serializers.Serializer):
    on_doubt = serializers.ChoiceField(choices=OnDoubt.values)
    language = serializers.CharField(help_text="Empty: the guideline's own.")
    models = serializers.ListField(child=serializers.CharField(), source="preferred_models")
    allowed_models = serializers.ListField(
        child=serializers.CharField(), help_text="What your plan lets you put into `models`."
    )
    retention_days = serializers.IntegerField(allow_null=True)


class ProviderKeyPutSerializer(StrictSerializer):
    """A key of yours. No answer shows it."""

    provider = TextField(max_length=40, help_text="The name of one of the installation's.")
    api_key = TextField(
        min_length=MIN_PROVIDER_KEY,
        max_length=MAX_PROVIDER_KEY,
        trim_whitespace=False,
        write_only=True,
        help_text="As the provider gave it to you. It is sealed, and never shown again.",
    )

    def validate_api_key(self, key: str) -> str:
        if not PROVIDER_KEY.fullmatch(key):
            raise serializers.ValidationError(
                "A key has printable ASCII characters and no spaces.", code="invalid"
            )
        return key


class ProviderKeySerializer(serializers.ModelSerializer):
    provider = serializers.CharField()
    last4 = serializers.CharField(help_text="The key's last four characters.")
    set_by = serializers.EmailField(source="set_by.email", allow_null=True, default=None)

    class Meta:
        model = ProviderKey
        fields = ["provider", "last4", "set_at", "set_by"]
        read_only_fields = fields


# --- The audit log -----------------------------------------------------------------------------


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


class AuditQuerySerializer(QuerySerializer):
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
