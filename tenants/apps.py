from django.apps import AppConfig


class TenantsApp(AppConfig):
    name = "tenants"
