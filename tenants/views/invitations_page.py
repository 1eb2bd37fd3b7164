"""The page behind the link in an invitation: who asks whom to join what, and the way in."""

from typing import cast

from allauth.account.fields import SetPasswordField
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from accounts.models import User
from accounts.services import register_person
from tenants.models import Membership
from tenants.services import invitations, members

JOINED = "You act for {} now."


class NewPersonForm(forms.Form):
    name = forms.CharField(
        label="Your name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    # For password managers, which keep a password under a name.
    email = forms.EmailField(
        label="E-mail",
        disabled=True,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    password = SetPasswordField(label="Password")

    def __init__(self, data: QueryDict | None = None, *, email: str):
        super().__init__(data, initial={"email": email})
        password = cast(SetPasswordField, self.fields["password"])
        password.user = User(email=email, name=self.data.get("name", ""))


class InvitationPage(View):
    """Whoever holds the token has read the invited mailbox: it was sent nowhere else."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self._page(request, token)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        invitation = invitations.find_invitation(token)
        if request.user.is_authenticated:
            return self._join(request, token, request.user)
        if _person(invitation.email) is not None:
            return self._page(request, token)
        form = NewPersonForm(request.POST, email=invitation.email)
        if not form.is_valid():
            return self._page(request, token, form)
        with transaction.atomic():  # no account without the membership
            user = register_person(
                email=invitation.email,
                name=form.cleaned_data["name"],
                password=form.cleaned_data["password"],
            )
            membership = members.accept_invitation(token, user)
        messages.success(request, JOINED.format(membership.tenant.name))
        record_authentication(request, user, method="password", email=user.email)
        login = Login(
            user=user, email=user.email, signup=True, redirect_url=_console_of(membership)
        )
        return perform_login(request, login)

    def _join(self, request: HttpRequest, token: str, user: User) -> HttpResponse:
        membership = members.accept_invitation(token, user)
        messages.success(request, JOINED.format(membership.tenant.name))
        return redirect(_console_of(membership))

    def _page(
        self, request: HttpRequest, token: str, form: NewPersonForm | None = None
    ) -> HttpResponse:
        invitation = invitations.find_invitation(token)
        user = request.user
        context = {
            "invitation": invitation,
            "form": form or NewPersonForm(email=invitation.email),
            "known": _person(invitation.email) is not None,
            "somebody_else": user.is_authenticated and not invitations.is_for(invitation, user),
        }
        return render(request, "account/invitation.html", context)


def _console_of(membership: Membership) -> str:
    return reverse("console:overview", args=[membership.tenant.slug])


def _person(email: str) -> User | None:
    return User.objects.filter(email__iexact=email).first()
