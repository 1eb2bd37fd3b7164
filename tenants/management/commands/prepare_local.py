"""Everything a fresh local database needs: tables, a tenant with a key, a staff user with MFA."""

import json
import os
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from accounts.models import User
from accounts.services import enrol_totp, register_person
from config.staff import StaffRole
from tenants.audit import acts_of, operator
from tenants.models import ApiKey, Membership, Role, Tenant
from tenants.permissions import create_groups
from tenants.services import keys, members

TENANT = ("Demo", "demo")
STAFF = "staff@guidepost.example"


class Command(BaseCommand):
    help = "Migrates and seeds the local stack; prints the credentials it made, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "client_id", nargs="?", default="", help="A key that is kept if it works."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("create_logins")
        with acts_of(operator()):
            credentials = {"client": self._client(options["client_id"]), "staff": self._staff()}
            self._own()
        self.stdout.write(json.dumps(credentials))

    def _client(self, client_id: str) -> dict[str, str] | None:
        name, slug = TENANT
        tenant = Tenant.objects.filter(slug=slug).first()
        tenant = tenant or members.create_tenant(name=name, slug=slug)
        create_groups(tenant)  # with what a later version grants besides
        key = ApiKey.objects.for_tenant(tenant.id).filter(client_id=client_id).first()
        if key is not None and key.is_usable:
            return None
        new = keys.issue_api_key(tenant=tenant, name="Local stack")
        return {"client_id": new.key.client_id, "client_secret": new.client_secret}

    def _own(self) -> None:
        """Whoever tries the stack sees both sides of it: staff, and the owner of a tenant."""
        tenant, user = Tenant.objects.get(slug=TENANT[1]), User.objects.get(email=STAFF)
        if not Membership.objects.for_tenant(tenant.id).filter(user=user).exists():
            members.add_member(tenant=tenant, user=user, role=Role.OWNER)

    def _staff(self) -> str:
        user = User.objects.filter(email=STAFF).first() or register_person(
            email=STAFF,
            name="Staff",
            password=os.environ["STAFF_PASSWORD"],
            staff_role=StaffRole.ADMINISTRATOR,
        )
        enrol_totp(user, os.environ["STAFF_TOTP_SECRET"])
        return STAFF
