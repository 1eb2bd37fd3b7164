"""A customer begins: its tenant, and the owner who does all the rest."""

import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from accounts.models import User
from accounts.services import register_person
from tenants.audit import acts_of, operator
from tenants.models import Role, Tenant
from tenants.services import members


class Command(BaseCommand):
    help = "Makes a tenant and its first owner, who invites the others and makes API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what people read")
        parser.add_argument("slug", help="what staff search for, such as st-mary")
        parser.add_argument(
            "--owner", required=True, metavar="EMAIL", help="with or without account"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["owner"]
        if Tenant.objects.filter(slug=options["slug"]).exists():
            raise CommandError(f"There is a tenant {options['slug']} already.")
        with acts_of(operator()), transaction.atomic():
            tenant = members.create_tenant(name=options["name"], slug=options["slug"])
            known = User.objects.filter(email__iexact=email).first()
            # Nobody knows this password: whoever reads the address's mail chooses another.
            owner = known or register_person(
                email=email, name="", password=secrets.token_urlsafe(32)
            )
            members.add_member(tenant=tenant, user=owner, role=Role.OWNER)
        name, does = (
            ("account_login", "signs in")
            if known
            else ("account_reset_password", "chooses a password")
        )
        self.stdout.write(f"{tenant.name}: {tenant.id}")
        self.stdout.write(f"{owner.email} {does} at {settings.PUBLIC_URL}{reverse(name)}")
