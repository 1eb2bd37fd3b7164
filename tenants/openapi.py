"""How the OpenAPI document describes our tokens. Loaded by `apps.py`."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from tenants.models import Scope


class TokenAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.authentication.TokenAuthentication"
    name = "oauth2"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        scopes = {scope.value: scope.label for scope in Scope}
        flow = {"tokenUrl": "/oauth/token", "scopes": scopes}
        return {"type": "oauth2", "flows": {"clientCredentials": flow}}

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        scope = auto_schema.view.required_scopes[auto_schema.method]
        return {self.name: [scope.value] if scope else []}
