"""Members, and who is invited to become one."""

from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from tenants.console.page import ConsoleForm, ConsolePage, FormPage, console_page, isolated
from tenants.models import ApiKey, Invitation, Membership, Role, Scope
from tenants.querysets import TenantQuerySet
from tenants.serializers import InvitationCreateSerializer, MemberChangeSerializer
from tenants.services import invitations, members, roles
from tenants.throttling import count_invitation

KEYS_NAMED = 10  # of somebody who is removed
# What the page says to whoever removes themselves.
LEAVE = {
    "title": "Leave",
    "button": "Leave",
    "says": "Ends your access within a second, and with it your invitations and what was shared"
    " with you. Your jobs stay. To come back you have to be invited anew.",
}


class RoleForm(ConsoleForm):
    role = forms.ChoiceField(
        choices=Role.choices,
        initial=Role.MEMBER,
        help_text="Viewers read jobs and their checklists. Members also submit and manage jobs, and"
        " see what was used. Admins also manage keys, members and settings, and read the audit log;"
        " owners are admins whom only owners change.",
    )
    sees_own_only = forms.BooleanField(
        label="Sees own jobs only",
        required=False,
        help_text="Those they submit, and those shared with them. For members and viewers: owners"
        " and admins see all jobs.",
    )

    def __init__(self, *args: Any, given: list[str], **more: Any):
        super().__init__(*args, **more)
        offered = [choice for choice in Role.choices if choice[0] in given]
        self.fields["role"].choices = offered  # type: ignore[attr-defined]


class InviteForm(RoleForm):
    serializer = InvitationCreateSerializer
    email = forms.CharField(
        label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    field_order = ["email", "role", "sees_own_only"]


class ChangeMemberForm(RoleForm):
    serializer = MemberChangeSerializer


def members_of(tenant_id: UUID) -> TenantQuerySet:
    """With what may be seen of the people."""
    rows = Membership.objects.for_tenant(tenant_id)
    return rows.select_related("user").only(*roles.SHOWN)


@console_page("members/", name="members", label="Members", place=50)
class MembersPage(ConsolePage):
    scope = Scope.MEMBERS_MANAGE
    title = "Members"
    template = "members.html"

    def context(self) -> dict[str, Any]:
        tenant_id = self.caller.tenant_id
        invited = invitations.open_invitations(tenant_id).select_related("invited_by")
        return {
            "members": self.listed(members_of(tenant_id), by="public_id"),
            "invited": self.listed(
                invited.only(*invitations.SHOWN), by="public_id", cursor="invited_before"
            ),
            "me": self.caller.user_id,
            "i_may_leave": self._may_leave(),
            "may_give": roles.may_give(self.caller.role),
            "now": timezone.now(),
        }

    def _may_leave(self) -> bool:
        """Whether it is worth a link: the last owner stays."""
        if self.caller.role != Role.OWNER:
            return True
        owners = Membership.objects.for_tenant(self.caller.tenant_id).filter(
            role=Role.OWNER, user__is_active=True
        )
        return any(owner.user_id != self.caller.user_id for owner in owners.only("tenant", "user"))


class MembersFormPage(FormPage):
    scope = Scope.MEMBERS_MANAGE

    def back(self) -> str:
        return self.url("members")


@console_page("members/invite/", name="member-invite")
class InvitePage(MembersFormPage):
    title = "Invite somebody"
    button = "Invite"
    says = (
        "They get a mail with a link that works once, for seven days, for that address alone. An"
        " open invitation of the same address ends."
    )
    form_class = InviteForm

    def form_takes(self) -> dict[str, Any]:
        return {"given": roles.may_give(self.caller.role)}

    def perform(self, form: Any) -> str:
        count_invitation(self.request, self.caller.tenant_id)
        invitations.invite(tenant_id=self.caller.tenant_id, by=self.caller.user_id, **form.accepted)
        return "The invitation is on its way."


class OneMember(MembersFormPage):
    """A form about the member of its address."""

    @cached_property
    def who(self) -> Membership:
        found: Membership = get_object_or_404(
            members_of(self.caller.tenant_id), public_id=self.kwargs["member_id"]
        )
        return found

    def about(self) -> str:
        person = self.who.user
        name = f"{isolated(person.name)}, {person.email}" if person.name else person.email
        return f"{name}: {self.who.get_role_display().lower()}"


@console_page("members/<uuid:member_id>/change/", name="member-change")
class ChangeMemberPage(OneMember):
    title = "Change a member"
    button = "Change"
    says = (
        "It holds within a second, for their browsers and programs alike. Invitations that they may"
        " not give any more end."
    )
    form_class = ChangeMemberForm

    def form_takes(self) -> dict[str, Any]:
        return {"given": roles.may_give(self.caller.role)}

    def initial(self) -> dict[str, Any]:
        return {"role": self.who.role, "sees_own_only": self.who.sees_own_only}

    def perform(self, form: Any) -> str:
        changed = members.change_member(
            tenant_id=self.caller.tenant_id,
            by=self.caller.user_id,
            member_id=self.who.public_id,
            **form.accepted,
        )
        if changed is None:
            raise Http404
        sees = ", and sees own jobs only" if changed.sees_own_only else ""
        return f"{changed.user.email} is {changed.get_role_display().lower()} now{sees}."


@console_page("members/<uuid:member_id>/remove/", name="member-remove")
class RemoveMemberPage(OneMember):
    title = "Remove a member"
    button = "Remove"
    danger = True
    says = (
        "Ends their access within a second, and with it their invitations and what was shared with"
        " them. Their jobs stay. To come back they have to be invited anew."
    )
    template = "member_remove.html"

    @property
    def is_me(self) -> bool:
        return self.who.user_id == self.caller.user_id

    def context(self) -> dict[str, Any]:
        said = super().context() | self._keys() | {"is_me": self.is_me}
        return said | LEAVE if self.is_me else said

    def _keys(self) -> dict[str, Any]:
        """Those they made that work still: they are the tenant's, and stay."""
        if not self.may(Scope.KEYS_MANAGE):
            return {}
        mine = ApiKey.objects.for_tenant(self.caller.tenant_id).usable()
        good = mine.filter(created_by=self.who.user_id)
        named = good.only("tenant", "client_id", "name").order_by("-pk")[:KEYS_NAMED]
        return {"keys": list(named), "key_count": good.count()}

    def perform(self, form: Any) -> str:
        removed = members.remove_member(
            tenant_id=self.caller.tenant_id,
            by=self.caller.user_id,
            member_id=self.who.public_id,
        )
        if removed is None:
            raise Http404
        return f"{removed.user.email} is no member of {self.member.tenant_name} any more."

    def done(self) -> str:
        return reverse("console:home") if self.is_me else self.back()


@console_page("members/invitations/<uuid:invitation_id>/revoke/", name="invitation-revoke")
class RevokeInvitationPage(MembersFormPage):
    title = "Take an invitation back"
    button = "Take back"
    danger = True
    says = "The link in the mail stops working at once."

    @cached_property
    def invitation(self) -> Invitation:
        """Also one that is taken back already: to do it again changes nothing."""
        mine = Invitation.objects.for_tenant(self.caller.tenant_id).filter(accepted_at=None)
        found: Invitation = get_object_or_404(mine, public_id=self.kwargs["invitation_id"])
        return found

    def about(self) -> str:
        return f"{self.invitation.email}: {self.invitation.get_role_display().lower()}"

    def perform(self, form: Any) -> str:
        taken = invitations.revoke_invitation(
            tenant_id=self.caller.tenant_id,
            by=self.caller.user_id,
            invitation_id=self.invitation.public_id,
        )
        if not taken:
            raise Http404
        return f"The invitation of {self.invitation.email} is taken back."
