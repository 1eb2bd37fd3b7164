"""How the OpenAPI document describes our tokens. Loaded by `apps.py`."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from tenants.models import FOR_PEOPLE_ALONE, Scope


class TokenAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.authentication.TokenAuthentication"
    name = "oauth2"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        scopes = {scope.value: scope.label for scope in Scope}
        return {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "/oauth/token",
                    "scopes": {k: v for k, v in scopes.items() if k not in FOR_PEOPLE_ALONE},
                },
                "authorizationCode": {
                    "authorizationUrl": "/oauth/authorize",
                    "tokenUrl": "/oauth/token",
                    "refreshUrl": "/oauth/token",
                    "scopes": scopes,
                },
            },
        }

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        scope = auto_schema.view.required_scopes[auto_schema.method]
        return {self.name: [scope.value] if scope else []}


KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "1 to 255 printable characters of your choice. Within 24 hours the same request"
    " with the same key is not done again: its first answer comes back, with the header"
    " `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
HEADERS = {
    "RateLimit-Policy": "The limits that apply: requests (q) in any window (w, seconds).",
    "RateLimit": "Where they stand: requests left (r), and seconds until there are more (t).",
}


def describe_limits(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Post-processing hook: what holds for every operation behind a token."""
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    for operations in result["paths"].values():
        for method, operation in operations.items():
            if not operation.get("security"):
                continue
            statuses = ["429"]
            if method == "post":
                operation.setdefault("parameters", []).append(KEY)
                statuses += ["400", "409", "422"]
            for status in statuses:
                operation["responses"].setdefault(status, {"content": problem, "description": ""})
            for response in operation["responses"].values():
                response.setdefault("headers", {}).update(headers)
    return result
