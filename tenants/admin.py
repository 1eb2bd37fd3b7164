from django.contrib import admin

from config.admin import ReadOnlyAdmin, ReadOnlyInline
from tenants.models import ApiKey, ApiSession, Membership, OAuthClient, Tenant


class MembershipInline(ReadOnlyInline):
    model = Membership
    readonly_fields = ("user", "role", "created_at")


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "slug", "=id")
    inlines = [MembershipInline]


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Never the secret, nor its digest."""

    exclude = ("digest",)
    list_display = ("name", "client_id", "tenant", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("client_id", "name", "tenant__slug")


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
