"""Who may change whom: rules about roles, and the locks under which they are checked.

By the roles that people have at that moment: what a token says may be minutes old.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from config.errors import DomainError
from tenants.models import MAY_SEE_OWN_ONLY, Membership, Role, Scope
from tenants.permissions import GRANTS

MANAGERS = [role for role in Role if Scope.MEMBERS_MANAGE in GRANTS[role]]
# All that is needed of a membership and its person: no password's hash leaves the database.
SHOWN = (
    "tenant",
    "public_id",
    "role",
    "sees_own_only",
    "created_at",
    "user__email",
    "user__name",
    "user__is_active",
)


class NotYours(DomainError):
    """In one's own tenant, but not for one's role."""

    code = "forbidden"
    title = "This is not allowed"
    status = 403


class SeesEverything(DomainError):
    code = "role_sees_everything"
    title = "Owners and admins see all jobs"
    status = 422
    detail = "Members and viewers alone may be kept to their own (`sees_own_only`)."


class LastOwner(DomainError):
    code = "last_owner"
    title = "A tenant keeps at least one owner who can sign in"
    detail = "Make somebody else an owner first."


def may_give(role: str) -> list[str]:
    """The roles that somebody in this role may give, change and take away."""
    if role not in MANAGERS:
        return []
    return [given for given in Role if role == Role.OWNER or given != Role.OWNER]


def refuse_own_only(role: str, sees_own_only: bool) -> None:
    """Raises SeesEverything for a role that could give itself the rest."""
    if sees_own_only and role not in MAY_SEE_OWN_ONLY:
        raise SeesEverything


class LockedMembers:
    """Who does it, to whom, and the owners of the tenant, locked until the transaction ends.

    Always in the same order, so that two who change each other wait instead of dying.
    """

    def __init__(self, tenant_id: UUID, by: int | None, member_id: UUID | None = None):
        concerned = Q(user_id=by) | Q(role=Role.OWNER) | Q(public_id=member_id)
        rows = (
            Membership.objects.for_tenant(tenant_id)
            .filter(concerned)
            .select_related("user")
            .only(*SHOWN)
            .order_by("id")
            .select_for_update(of=("self",), no_key=True)
        )
        self.rows = list(rows)
        self.actor = next((row for row in self.rows if row.user_id == by), None)
        self.target = next((row for row in self.rows if row.public_id == member_id), None)

    def refuse_unless_allowed(self, roles: Iterable[str]) -> None:
        """Raises NotYours unless the actor may touch, and give, all the roles."""
        if self.actor is None or self.actor.role not in MANAGERS:
            raise NotYours("Only owners and admins, in person, manage members.")
        if Role.OWNER in roles and self.actor.role != Role.OWNER:
            raise NotYours("Only an owner changes or removes owners, or makes one.")

    def refuse_last_owner(self) -> None:
        """Raises LastOwner if nobody would be left who is an owner and can sign in."""
        target = self.target
        if target is None or target.role != Role.OWNER:
            return
        others = (r for r in self.rows if r.role == Role.OWNER and r.pk != target.pk)
        if not any(other.user.is_active for other in others):
            raise LastOwner
