from django.apps import AppConfig


class TenantsApp(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants import openapi, sign_ins  # noqa: F401, PLC0415  (register themselves)
