"""Customers: whose data it is, and what they may do with it."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.utils import timezone

from config.database import ClockTimestamp
from tenants.querysets import TenantQuerySet

models.CharField.register_lookup(Length)


class Scope(models.TextChoices):
    """What a token may be used for; each stands for one permission on the tenant."""

    JOBS_SUBMIT = "jobs:submit", "Submit jobs"
    JOBS_READ = "jobs:read", "Read jobs"
    JOBS_MANAGE = "jobs:manage", "Cancel, retry, share and delete jobs"
    KEYS_MANAGE = "keys:manage", "Make, rotate and revoke API keys"
    MEMBERS_MANAGE = "members:manage", "Invite, change and remove members"
    USAGE_READ = "usage:read", "Read usage and limits"
    AUDIT_READ = "audit:read", "Read the audit log"

    @property
    def permission(self) -> str:
        """The codename on Tenant: jobs:submit is submit_jobs."""
        noun, verb = self.value.split(":")
        return f"{verb}_{noun}"


class ActorKind(models.TextChoices):
    KEY = "key", "API key"
    PERSON = "person", "Person"
    STAFF = "staff", "Staff"
    SYSTEM = "system", "System"


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


class AuditEntry(models.Model):
    """An act of a person, a key, staff or the system, or one that was refused. Never changed."""

    class Outcome(models.TextChoices):
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )  # null: an act on the installation
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor = models.CharField(max_length=254)  # a client_id, an e-mail address, "system"
    on_behalf_of = models.CharField(max_length=254, blank=True)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=60)  # noun and verb: "key.revoked"
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.DONE)
    object_type = models.CharField(max_length=30, blank=True)
    object_id = models.CharField(max_length=100, blank=True)  # its public id
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["tenant", "-id"], name="audit_list")]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


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


class Invitation(models.Model):
    """A person is asked to join a tenant. The token goes to their mailbox and nowhere else."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField("e-mail", max_length=254)
    role = models.CharField(max_length=10, choices=Role)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # of the token, hex
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["tenant", "-created_at"], name="invitation_list")]

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant}"
