"""Makes the tables and one user; prints the user's id."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.peers.with_drf.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402

call_command("migrate", verbosity=0)
call_command("migrate", run_syncdb=True, verbosity=0)  # its own table, which leans on those
user, _ = get_user_model().objects.get_or_create(username="bench")
print(user.pk)
