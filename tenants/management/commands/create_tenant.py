"""A customer begins: its tenant, and the owner who does all the rest."""

import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Model
from django.urls import reverse

from accounts.models import User
from accounts.services import register_person
from tenants.audit import acts_of, operator
from tenants.models import Role, Tenant
from tenants.services import members

WANTED = {
    "name": "name: give 1 to 200 characters",
    "slug": "slug: give 1 to 63 letters of a to z, digits, hyphens or underscores, such as st-mary",
    "email": "e-mail address: give one, such as ann@example.com",
}


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
        refuse_unless_valid(Tenant(name=options["name"], slug=options["slug"]), "name", "slug")
        refuse_unless_valid(User(email=email), "email")
        if Tenant.objects.filter(slug=options["slug"]).exists():
            raise CommandError(f"There is a tenant {options['slug']} already.")
        with acts_of(operator()), transaction.atomic():
            tenant = members.create_tenant(name=options["name"], slug=options["slug"])
            known = User.objects.filter(email__iexact=email).first()
            # Nobody knows this password: whoever reads the address's mail chooses another.
            try:
                owner = known or register_person(
                    email=email, name="", password=secrets.token_urlsafe(32)
                )
            except ValueError:  # in lower case it becomes another's
                raise not_valid("email", email) from None
            members.add_member(tenant=tenant, user=owner, role=Role.OWNER)
        name, does = (
            ("account_login", "signs in")
            if known
            else ("account_reset_password", "chooses a password")
        )
        self.stdout.write(f"{tenant.name}: {tenant.id}")
        self.stdout.write(f"{owner.email} {does} at {settings.PUBLIC_URL}{reverse(name)}")


def refuse_unless_valid(row: Model, *fields: str) -> None:
    """By the fields' own rules, which nobody asks where rows are made in services. Raises
    CommandError."""
    try:
        row.clean_fields(exclude={each.name for each in row._meta.fields} - {*fields})
    except ValidationError as error:
        field = next(iter(error.error_dict))
        raise not_valid(field, getattr(row, field)) from None


def not_valid(field: str, value: str) -> CommandError:
    return CommandError(f"{value!r} is no {WANTED[field]}.")
