from django.contrib import admin

from config.admin import ReadOnlyAdmin, ReadOnlyInline
from tenants.models import (
    ApiKey,
    ApiSession,
    AuditEntry,
    Invitation,
    Membership,
    OAuthClient,
    Tenant,
)


class MembershipInline(ReadOnlyInline):
    model = Membership
    exclude = ("public_id",)
    readonly_fields = ("user", "role", "sees_own_only", "created_at")


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "slug", "=id")
    inlines = [MembershipInline]


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Never the secret, nor its digest."""

    exclude = ("digest", "previous_digest")
    list_display = ("name", "client_id", "tenant", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("client_id", "name", "tenant__slug")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """What is searched for is whole: by part of a word it would take reading the whole log."""

    list_display = ("at", "tenant", "actor", "action", "outcome", "object_type", "object_id", "seq")
    list_filter = ("outcome", "actor_kind")
    list_select_related = ("tenant", "seal")
    search_fields = ("=object_id", "=actor", "=action", "=request_id", "=tenant__slug")
    search_help_text = "An object's id, an actor, an action, a request id or a tenant's slug."
    ordering = ("-id",)
    fields = readonly_fields = (
        "at",
        "tenant",
        "actor_kind",
        "actor",
        "on_behalf_of",
        "address",
        "request_id",
        "action",
        "outcome",
        "object_type",
        "object_id",
        "before",
        "after",
        "seq",
        "hash",
    )

    @admin.display(description="seq")
    def seq(self, entry: AuditEntry) -> int | None:
        return entry.seal.seq if hasattr(entry, "seal") else None

    @admin.display(description="hash")
    def hash(self, entry: AuditEntry) -> str:
        return bytes(entry.seal.hash).hex() if hasattr(entry, "seal") else "not sealed yet"


@admin.register(ApiSession)
class ApiSessionAdmin(ReadOnlyAdmin):
    exclude = ("code_digest", "password_digest")
    list_display = ("id", "tenant", "user", "client_id", "last_used_at", "revoked_at", "reason")
    list_select_related = ("tenant", "user")
    list_filter = ("reason",)
    search_fields = ("=id", "tenant__slug", "user__email")


@admin.register(OAuthClient)
class OAuthClientAdmin(ReadOnlyAdmin):
    """Registered by `manage.py register_client`."""

    list_display = ("name", "client_id", "redirect_uris", "is_active", "created_at")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("email", "role", "tenant", "created_at", "expires_at", "accepted_at")
    list_select_related = ("tenant",)
    search_fields = ("email", "tenant__slug")
