"""Customers: whose data it is, and what they may do with it."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.utils import timezone

from tenants.querysets import TenantQuerySet

models.CharField.register_lookup(Length)


class Scope(models.TextChoices):
    """What a token may be used for; each stands for one permission on the tenant."""

    JOBS_SUBMIT = "jobs:submit", "Submit jobs"
    JOBS_READ = "jobs:read", "Read jobs"
    JOBS_MANAGE = "jobs:manage", "Cancel and retry jobs"

    @property
    def permission(self) -> str:
        """The codename on Tenant: jobs:submit is submit_jobs."""
        noun, verb = self.value.split(":")
        return f"{verb}_{noun}"


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class Tenant(models.Model):
    """A customer. Its id is public: it stands in tokens."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=63, unique=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        permissions = [(scope.permission, scope.label) for scope in Scope]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="tenant_has_a_name"),
            models.CheckConstraint(condition=~Q(slug=""), name="tenant_has_a_slug"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person acts for a tenant, in one role."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user"], name="membership_once_per_tenant_and_user"
            ),
            models.CheckConstraint(
                condition=Q(role__in=Role.values), name="membership_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.tenant}"


class ApiKey(models.Model):
    """A machine's credential. The secret is shown once; its keyed digest is kept."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="api_keys")
    client_id = models.CharField(max_length=40, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)  # HMAC-SHA-256, hex
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=Q(digest__length=64), name="api_key_digest_is_sha256_hex"
            ),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=Scope.values) & Q(scopes__len__gt=0),
                name="api_key_scopes_are_known",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="api_key_list")]

    def __str__(self) -> str:
        return f"{self.name} ({self.client_id})"

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired
