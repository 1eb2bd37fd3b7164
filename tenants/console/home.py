"""Whose console it is to be, for whoever is a member of several tenants."""

from typing import Any, cast

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from accounts.models import User
from tenants.models import Membership


class ConsoleHome(LoginRequiredMixin, View):
    """Leads to the only console there is, or asks which of several. Whoever acts for nobody is led
    to staff's pages, if they are staff, or to their account. Signing in leads here."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = cast(User, request.user)
        own = Membership.objects.across_tenants().filter(user=user, tenant__is_active=True)
        memberships = list(own.select_related("tenant").order_by("tenant__name", "pk"))
        if not memberships:
            return redirect("admin:index" if user.is_staff else "account_home")
        if len(memberships) == 1 and "choose" not in request.GET:
            return redirect("console:overview", memberships[0].tenant.slug)
        return render(request, "console/home.html", {"memberships": memberships})
