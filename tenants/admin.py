from django.contrib import admin

from config.admin import ReadOnlyAdmin, ReadOnlyInline
from tenants.models import ApiKey, Invitation, Membership, Tenant


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


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    exclude = ("digest",)
    list_display = ("email", "role", "tenant", "created_at", "expires_at", "accepted_at")
    list_select_related = ("tenant",)
    search_fields = ("email", "tenant__slug")
