from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.db.models.signals import post_migrate, pre_migrate


class ConfigApp(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401, PLC0415  (registers itself)
        from config.isolation import (  # noqa: PLC0415  (after the apps are loaded)
            after_migrate,
            before_migrate,
        )

        pre_migrate.connect(before_migrate, sender=self)
        post_migrate.connect(after_migrate, sender=self)


class StaffAdminConfig(admin.AdminConfig):
    default = False  # of this module: that is ConfigApp
    default_site = "config.admin.StaffSite"
