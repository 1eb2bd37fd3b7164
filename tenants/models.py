"""Customers: whose data it is, and what they may do with it."""

import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Lower
from django.utils import timezone

from config.database import ClockTimestamp, KeyIdOf
from tenants.querysets import TenantQuerySet

models.CharField.register_lookup(Length)


class Scope(models.TextChoices):
    """What a token may be used for; each stands for one permission on the tenant."""

    JOBS_SUBMIT = "jobs:submit", "Submit jobs"
    JOBS_READ = "jobs:read", "Read jobs"
    JOBS_MANAGE = "jobs:manage", "Cancel, retry, share and delete jobs"
    KEYS_MANAGE = "keys:manage", "Make, rotate and revoke API keys"
    MEMBERS_MANAGE = "members:manage", "Invite, change and remove members"
    SETTINGS_MANAGE = "settings:manage", "Change settings and the provider's key"
    USAGE_READ = "usage:read", "Read usage and limits"
    AUDIT_READ = "audit:read", "Read the audit log"

    @property
    def permission(self) -> str:
        """The codename on Tenant: jobs:submit is submit_jobs."""
        noun, verb = self.value.split(":")
        return f"{verb}_{noun}"


FOR_PEOPLE_ALONE = [Scope.MEMBERS_MANAGE, Scope.SETTINGS_MANAGE]  # no API key may have them


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


MAY_SEE_OWN_ONLY = [Role.MEMBER, Role.VIEWER]


class RouteClass(models.TextChoices):
    """What kind of request it is: each kind has a rate limit of its own."""

    SUBMIT = "submit", "Submit jobs"
    READ = "read", "Read"
    MANAGE = "manage", "Change anything else"


class OnDoubt(models.TextChoices):
    """What becomes of an item whose meaning did not survive."""

    FLAG = "flag", "Flag it"
    DROP = "drop", "Drop it"
    REPAIR = "repair", "Ask the model once more"


NO_MODELS = models.Value([], ArrayField(models.CharField(max_length=200)))


class Plan(models.Model):
    """What a tenant may use. Every tenant has one; staff makes them and gives them out."""

    code = models.SlugField(max_length=40, primary_key=True)
    name = models.CharField(max_length=100)
    # Requests in any 60 seconds, of all the tenant's callers together.
    submits_per_minute = models.PositiveIntegerField(default=600)
    reads_per_minute = models.PositiveIntegerField(default=6_000)
    manages_per_minute = models.PositiveIntegerField(default=600)
    # Enforced where they are counted: in the tenant's row of jobs_tenantqueue.
    max_running = models.PositiveIntegerField(default=16)
    max_waiting = models.PositiveIntegerField(default=10_000)
    # Budgets of days and months in UTC. Money is counted in millionths of a dollar.
    tokens_per_day = models.BigIntegerField(default=100_000_000)
    money_per_month = models.BigIntegerField(default=1_000_000_000)
    # Jobs are deleted so long after their end, unless the tenant says otherwise. Null: never.
    retention_days = models.PositiveIntegerField(null=True, blank=True)
    # Of the installation's models (see tenants/preferences.py); none named: all of them.
    allowed_models = ArrayField(
        models.CharField(max_length=200), default=list, db_default=NO_MODELS, blank=True
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(submits_per_minute__gt=0)
                & Q(reads_per_minute__gt=0)
                & Q(manages_per_minute__gt=0)
                & Q(max_running__gt=0)
                & Q(max_waiting__gt=0),
                name="plan_allows_something",
            ),
            models.CheckConstraint(
                condition=Q(tokens_per_day__gte=0) & Q(money_per_month__gte=0),
                name="plan_budgets_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name


DEFAULT_PLAN = "standard"  # made by a migration


class Tenant(models.Model):
    """A customer. Its id is public: it stands in tokens."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=63, unique=True)
    is_active = models.BooleanField(default=True)
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, default=DEFAULT_PLAN, related_name="tenants"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Jobs are deleted so long after their end. Null: as its plan says.
    retention_days = models.PositiveIntegerField(null=True, blank=True)
    # What holds for its jobs unless they say otherwise: see tenants/preferences.py.
    on_doubt = models.CharField(max_length=10, choices=OnDoubt, default="flag", db_default="flag")
    language = models.CharField(max_length=35, blank=True, default="", db_default="")
    preferred_models = ArrayField(
        models.CharField(max_length=200), default=list, db_default=NO_MODELS, blank=True
    )

    class Meta:
        permissions = [(scope.permission, scope.label) for scope in Scope]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="tenant_has_a_name"),
            models.CheckConstraint(condition=~Q(slug=""), name="tenant_has_a_slug"),
            models.CheckConstraint(
                condition=Q(retention_days__isnull=True) | Q(retention_days__range=(1, 36_500)),
                name="tenant_keeps_jobs_for_a_day_to_a_century",
            ),
            models.CheckConstraint(
                condition=Q(on_doubt__in=OnDoubt.values), name="tenant_on_doubt_is_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DataKey(models.Model):
    """What a tenant's content is sealed with: itself sealed, by a key-encryption key.

    Made with the tenant. A later version seals what is written from then on; the earlier ones
    stay, since they open what was written before. See `tenants.vault`.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="data_keys", db_index=False
    )  # the unique constraint begins with it
    version = models.PositiveSmallIntegerField()
    wrapped = models.BinaryField()
    kek_id = models.GeneratedField(
        expression=KeyIdOf("wrapped"),
        output_field=models.CharField(max_length=32),
        db_persist=True,
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "version"], name="data_key_once_per_version"),
            models.CheckConstraint(condition=Q(version__gt=0), name="data_key_versions_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} version {self.version}"


class ProviderKey(models.Model):
    """A tenant's own key of a model provider, with which its jobs are run.

    Sealed. Requests write it and cannot read it back: only workers may, see tenants/access.py.
    """

    tenant = models.OneToOneField(
        Tenant, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    provider = models.CharField(max_length=40)  # a name in settings.PROVIDERS
    sealed_key = models.BinaryField()
    last4 = models.CharField(max_length=4)  # shown, so that people know which it is
    set_at = models.DateTimeField()
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    objects = TenantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.provider} of {self.tenant_id}"


class Membership(models.Model):
    """A person acts for a tenant, in one role."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role)
    sees_own_only = models.BooleanField(default=False)  # of jobs: one's own and those shared
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user"], name="membership_once_per_tenant_and_user"
            ),
            models.UniqueConstraint(
                fields=["tenant", "public_id"], name="membership_public_id_once_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(role__in=Role.values), name="membership_role_is_known"
            ),
            # Who may make a key could make one that sees everything.
            models.CheckConstraint(
                condition=Q(sees_own_only=False) | Q(role__in=MAY_SEE_OWN_ONLY),
                name="membership_that_manages_sees_everything",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.tenant}"


class Invitation(models.Model):
    """A role for whoever holds the token and the e-mail address. Good for one use.

    The token is in the mail and nowhere else; its keyed digest is kept.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="invitations", db_index=False
    )  # the indexes below begin with it
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Role)
    sees_own_only = models.BooleanField(default=False, db_default=False)  # of the membership
    digest = models.CharField(max_length=64, unique=True, editable=False)  # HMAC-SHA-256, hex
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "public_id"], name="invitation_public_id_once_per_tenant"
            ),
            models.UniqueConstraint(
                "tenant",
                Lower("email"),
                condition=Q(accepted_at=None, revoked_at=None),
                name="invitation_one_open_per_tenant_and_address",
            ),
            models.CheckConstraint(
                condition=Q(role__in=Role.values), name="invitation_role_is_known"
            ),
            models.CheckConstraint(
                condition=Q(sees_own_only=False) | Q(role__in=MAY_SEE_OWN_ONLY),
                name="invitation_that_manages_sees_everything",
            ),
            models.CheckConstraint(
                condition=Q(digest__length=64), name="invitation_digest_is_sha256_hex"
            ),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(revoked_at=None),
                name="invitation_is_accepted_or_revoked_not_both",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role} of {self.tenant}"


class AuditEntry(models.Model):
    """An act of a person, a key, staff or the system, or one that was refused. Never changed.

    Written by `tenants.audit.record` alone. The table has two columns more, which the database
    fills in and only sealing reads: `xid`, the transaction that wrote it, and `salt`, which keeps
    the digest of its personal fields from being guessed (see tenants/sealing/chain.py).
    """

    class Outcome(models.TextChoices):
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # every index below begins with it
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
        indexes = [
            models.Index(fields=["tenant", "-at", "-id"], name="audit_list"),
            models.Index(
                fields=["tenant", "object_type", "object_id", "-at"], name="audit_of_an_object"
            ),
            # What staff search for among all tenants. Without submissions, which are most of all:
            # so POST /jobs writes to none of these.
            *[
                models.Index(
                    fields=[*first, "-at", "-id"],
                    condition=~Q(action="job.submitted"),
                    name=f"audit_seen_by_{'_'.join(first) or 'time'}",
                )
                for first in ([], ["actor"], ["action"], ["object_id"])
            ],
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class AuditSeal(models.Model):
    """The place of an entry in its tenant's hash chain. Written by the sealer, never changed."""

    entry = models.OneToOneField(
        AuditEntry,
        primary_key=True,
        on_delete=models.DO_NOTHING,
        related_name="seal",
        db_constraint=False,  # audit_verify looks for seals without their entry
    )
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )  # null: the chain of the installation
    seq = models.PositiveBigIntegerField()  # from 1, without gaps
    hash = models.BinaryField()  # SHA-256: of the hash before it and of what it seals
    personal = models.BinaryField()  # SHA-256 of salt, actor and whatever else may be personal
    sealed_at = models.DateTimeField(db_default=ClockTimestamp())

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "seq"], nulls_distinct=False, name="audit_seq_once_per_chain"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq}: {bytes(self.hash).hex()[:12]}"


class ApiKeyQuerySet(TenantQuerySet):
    def usable(self) -> Self:
        """As `ApiKey.is_usable`."""
        now = timezone.now()
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ApiKey(models.Model):
    """A machine's credential. The secret is shown once; its keyed digest is kept.

    After a rotation the secret before it may be good for a while longer.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="api_keys")
    client_id = models.CharField(max_length=40, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)  # HMAC-SHA-256, hex
    previous_digest = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    # CIDR, as config.addresses writes it. None: from anywhere.
    allowed_networks = ArrayField(models.CharField(max_length=43), default=list, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # to a minute
    last_used_address = models.CharField(max_length=45, blank=True)
    warned_days = models.PositiveSmallIntegerField(null=True, editable=False)  # before its end
    # In each route class, besides what the tenant's plan allows all keys together.
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

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
            models.CheckConstraint(
                condition=~Q(scopes__overlap=FOR_PEOPLE_ALONE),
                name="api_key_has_no_scope_of_people_alone",
            ),
            models.CheckConstraint(
                condition=Q(previous_digest="", previous_until=None)
                | Q(previous_digest__length=64, previous_until__isnull=False),
                name="api_key_previous_secret_has_an_end",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="api_key_list"),
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, revoked_at=None),
                name="api_key_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.client_id})"

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class OAuthClient(models.Model):
    """A program through which people call the API. It runs on their machines and keeps no secret.

    Only the redirect addresses registered here ever receive a code.
    """

    client_id = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=100)
    redirect_uris = ArrayField(models.CharField(max_length=500))
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "OAuth client"
        constraints = [
            models.CheckConstraint(
                condition=Q(redirect_uris__len__gt=0), name="oauth_client_has_a_redirect_uri"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.client_id})"


class AuthorizationCode(models.Model):
    """A person's consent on its way to the client. Taken out of the table when it is used."""

    digest = models.CharField(max_length=64, primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    client_id = models.CharField(max_length=40)
    redirect_uri = models.CharField(max_length=500)
    challenge = models.CharField(max_length=43)  # RFC 7636, S256
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    # A digest of the membership and the password it was given with: with another it opens nothing.
    grounds = models.CharField(max_length=64, default="", db_default="")
    expires_at = models.DateTimeField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(digest__length=64), name="authorization_code_digest_is_sha256_hex"
            ),
            models.CheckConstraint(
                condition=Q(challenge__length=43), name="authorization_code_challenge_is_s256"
            ),
        ]


class ApiSession(models.Model):
    """A person calls the API through a client: the family of all tokens of one sign-in.

    Its id is public: it stands in its access tokens as `sid`.
    """

    class Ended(models.TextChoices):
        BY_OWNER = "by_owner", "Ended by its owner"
        BY_CLIENT = "by_client", "Signed out by the client"
        TOKEN_REUSED = "token_reuse", "A refresh token or code was used twice"
        MEMBER_REMOVED = "member_removed", "Its owner was removed from the tenant"
        PERSON_DISABLED = "person_disabled", "Its owner was shut out"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_sessions")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_sessions"
    )
    client_id = models.CharField(max_length=40)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    code_digest = models.CharField(max_length=64, db_index=True)  # a second use ends the session
    password_digest = models.CharField(max_length=64)  # a new password ends it too
    address = models.CharField(max_length=45, blank=True)  # at the last refresh
    created_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    last_used_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=20, choices=Ended, blank=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = "API session"
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) ^ ~Q(reason=""),
                name="api_session_has_a_reason_exactly_when_revoked",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "user"], name="api_session_list")]

    def __str__(self) -> str:
        return f"{self.user} through {self.client_id}"


class RefreshToken(models.Model):
    """Good for one use. The used ones are kept: who brings one has a stolen or a copied token."""

    digest = models.CharField(max_length=64, primary_key=True)
    session = models.ForeignKey(ApiSession, on_delete=models.CASCADE, related_name="refresh_tokens")
    created_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(digest__length=64), name="refresh_token_digest_is_sha256_hex"
            ),
            models.UniqueConstraint(
                fields=["session"],
                condition=Q(used_at__isnull=True),
                name="one_unused_refresh_token_in_a_session",
            ),
        ]


class RevokedToken(models.Model):
    """An access token that was given back before its end; forgotten once it is refused anyway."""

    jti = models.CharField(max_length=64, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)


# --- What the limits count ------------------------------------------------------------------


class Usage(models.Model):
    """What a tenant has used of one budget in one period, and what is promised to its jobs.

    `spent + reserved` never exceeds the plan's limit: both change only in the functions
    tenants_reserve, tenants_release and tenants_settle of the database.
    """

    class Kind(models.TextChoices):
        MONEY = "money", "Money in a month"  # millionths of a dollar
        TOKENS = "tokens", "Tokens in a day"

    pk = models.CompositePrimaryKey("tenant_id", "kind", "starts_on")
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # the primary key begins with it
    kind = models.CharField(max_length=10, choices=Kind)
    starts_on = models.DateField()
    spent = models.BigIntegerField(db_default=0)
    reserved = models.BigIntegerField(db_default=0)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "usage"
        constraints = [
            models.CheckConstraint(
                condition=Q(spent__gte=0) & Q(reserved__gte=0), name="usage_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} from {self.starts_on}"


class RateBucket(models.Model):
    """The rate limit that takes over while Redis is away: a token bucket."""

    pk = models.CompositePrimaryKey("tenant_id", "route_class")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    route_class = models.CharField(max_length=10, choices=RouteClass)
    tokens = models.FloatField()
    refilled_at = models.DateTimeField()

    objects = TenantQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.route_class}: {self.tokens:.1f}"


class IdempotencyRecord(models.Model):
    """The answer to a request that named an Idempotency-Key, kept to be given again."""

    pk = models.CompositePrimaryKey("tenant_id", "route", "key")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    request_hash = models.BinaryField()  # SHA-256 of method, path and canonical body
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)  # sealed: an answer may hold a secret
    about = models.UUIDField(null=True)  # the event_id of the job that the answer tells of
    expires_at = models.DateTimeField()

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="idempotency_expiry"),
            models.Index(
                fields=["tenant", "about"],
                condition=models.Q(about__isnull=False),
                name="idempotency_about_a_job",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
