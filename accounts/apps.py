from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class AccountsApp(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        post_migrate.connect(_make_first_key, sender=self)


def _make_first_key(sender: AppConfig, using: str, **kwargs: Any) -> None:
    from accounts import keyring  # noqa: PLC0415  (after the apps are loaded)

    table = sender.get_model("SigningKey")._meta.db_table
    if table in connections[using].introspection.table_names():  # not if migrated backwards
        keyring.make_first_key()
