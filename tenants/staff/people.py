"""People: who they are, how they sign in, and which of them are staff."""

from functools import cached_property
from typing import Any, cast

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts.models import User
from config.staff import Act, ActPage, ReasonForm, StaffPage, StaffRole, declare, staff_page
from tenants.models import AuditEntry, Membership
from tenants.services import sessions, staff

PER_PAGE = 50
ADD = declare(
    Act(
        "person.added",
        "Add staff",
        StaffRole.ADMINISTRATOR,
        "They are told by mail how to set a password and a second factor.",
    )
)
ROLE = declare(
    Act(
        "staff.role_changed",
        "Change the staff role",
        StaffRole.ADMINISTRATOR,
        "It holds from their next request on. It changes nothing of what they are in tenants.",
    )
)
DISABLE = declare(
    Act(
        "person.disabled",
        "Disable",
        StaffRole.ADMINISTRATOR,
        "They are signed out with their next request, in all tenants, and cannot sign in.",
        danger=True,
    )
)
ENABLE = declare(
    Act("person.enabled", "Enable", StaffRole.ADMINISTRATOR, "They can sign in again.")
)
FACTORS = declare(
    Act(
        "second_factor.removed",
        "Remove second factors",
        StaffRole.ADMINISTRATOR,
        "All of them, for somebody who has lost them. Be sure that it is they who ask: whoever has"
        " their password can then sign in.",
        danger=True,
    )
)


@staff_page("people/", name="people", label="People", place=70)
class PeoplePage(StaffPage):
    title = "People"
    template = "people.html"

    def context(self) -> dict[str, Any]:
        words = self.request.GET.get("q", "").strip().lower()
        role = self.request.GET.get("role", "")
        after = self.request.GET.get("after", "")
        people = User.objects.order_by("email")
        if words:
            people = people.filter(email__startswith=words)
        if role in StaffRole.values:
            people = people.filter(staff_role=role)
        rows = list(people.filter(email__gt=after)[: PER_PAGE + 1])
        return {
            "people": rows[:PER_PAGE],
            "after": rows[PER_PAGE - 1].email if len(rows) > PER_PAGE else "",
            "words": words,
            "role": role,
            "roles": StaffRole.choices,
            "add": ADD,
            "may_add": self.may(ADD),
        }


class OnePerson:
    """Mixed into pages about the person of their address."""

    kwargs: dict[str, Any]

    @cached_property
    def person(self) -> User:
        return get_object_or_404(User, public_id=self.kwargs["public_id"])

    def back(self) -> str:
        return reverse("admin:person", args=[self.kwargs["public_id"]])


@staff_page("people/<uuid:public_id>/", name="person")
class PersonPage(OnePerson, StaffPage):
    template = "person.html"

    def context(self) -> dict[str, Any]:
        person = self.person
        entries = AuditEntry.objects.across_tenants().filter(object_id=str(person.public_id))
        acts = [
            ("person_role", ROLE),
            ("person_disable", DISABLE) if person.is_active else ("person_enable", ENABLE),
            ("person_factors", FACTORS),
        ]
        return {
            "title": person.email,
            "person": person,
            "memberships": Membership.objects.across_tenants()
            .filter(user=person)
            .select_related("tenant"),
            "factors": self._factors(person),
            "sessions": UserSession.objects.filter(user=person)
            .defer("session_key", "data")
            .order_by("-last_seen_at")[:20],
            "api_sessions": sessions.with_clients(sessions.all_sessions_of(person)),
            "entries": entries.exclude(action="job.submitted")
            .select_related("tenant")
            .order_by("-at", "-id")[:20],
            "acts": [
                (act, reverse(f"admin:{name}", args=[person.public_id]))
                for name, act in acts
                if self.may(act) and person != self.request.user
            ],
        }

    def _factors(self, person: User) -> QuerySet[Authenticator]:
        return Authenticator.objects.filter(user=person).defer("data").order_by("pk")


class PersonAct(OnePerson, ActPage):
    def about(self) -> str:
        person = self.person
        return f"{person.email}{f' ({person.name})' if person.name else ''}"

    @property
    def by(self) -> User:
        return cast(User, self.request.user)  # nobody else comes in


class RoleForm(ReasonForm):
    staff_role = forms.ChoiceField(
        choices=[("", "no staff"), *StaffRole.choices], required=False, label="Role"
    )
    field_order = ["staff_role", "reason"]


@staff_page("people/<uuid:public_id>/role/", name="person_role")
class RolePage(PersonAct):
    act, form_class = ROLE, RoleForm

    def initial(self) -> dict[str, Any]:
        return {"staff_role": self.person.staff_role}

    def perform(self, form: Any) -> str:
        role = form.cleaned_data["staff_role"]
        staff.set_role(self.person, role, by=self.by)
        return f"The role is {role or 'taken away'}."


@staff_page("people/<uuid:public_id>/disable/", name="person_disable")
class DisablePage(PersonAct):
    act = DISABLE

    def perform(self, form: Any) -> str:
        staff.set_active(self.person, active=False, by=self.by)
        return "They cannot sign in any more."


@staff_page("people/<uuid:public_id>/enable/", name="person_enable")
class EnablePage(PersonAct):
    act = ENABLE

    def perform(self, form: Any) -> str:
        staff.set_active(self.person, active=True, by=self.by)
        return "They can sign in again."


@staff_page("people/<uuid:public_id>/second-factors/", name="person_factors")
class FactorsPage(PersonAct):
    act = FACTORS

    def perform(self, form: Any) -> str:
        kinds = staff.remove_second_factors(self.person, by=self.by)
        return f"Removed: {', '.join(kinds)}." if kinds else "There was none."


class AddForm(ReasonForm):
    email = forms.EmailField(max_length=254)
    name = forms.CharField(max_length=150, required=False)
    staff_role = forms.ChoiceField(label="Role", choices=StaffRole.choices)
    field_order = ["email", "name", "staff_role", "reason"]


@staff_page("people/add/", name="person_add")
class AddPage(ActPage):
    act, form_class = ADD, AddForm

    def perform(self, form: Any) -> str:
        given = form.cleaned_data
        role = StaffRole(given["staff_role"])
        self.person = staff.add(email=given["email"], name=given["name"], role=role)
        return f"{self.person.email} is told by mail."

    def back(self) -> str:
        return reverse("admin:people")

    def done(self) -> str:
        return reverse("admin:person", args=[self.person.public_id])
