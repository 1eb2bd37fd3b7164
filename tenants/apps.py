from django.apps import AppConfig


class TenantsApp(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import openapi  # noqa: F401, PLC0415  (registers itself)
