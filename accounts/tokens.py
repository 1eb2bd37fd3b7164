"""Access tokens: short JWTs (RFC 9068) signed with Ed25519, checked without a database.

simplejwt makes and checks them; here is what it lacks: the `kid` header, a ring of verifying
keys, required claims and the public key set.
"""

import json
from functools import cache, cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.conf import settings
from jwt.algorithms import OKPAlgorithm
from jwt.utils import base64url_encode
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import Token

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105  (RFC 9068 section 2.1)
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "jti"]
_PEM_END = "-----END PUBLIC KEY-----"


class KeyRing:
    """The signing key and every public key whose tokens are still good, by `kid`."""

    def __init__(self, signing_pem: str, verifying_pems: str = ""):
        """signing_pem: one private key; verifying_pems: any number of public ones, in a row."""
        key = load_pem_private_key(signing_pem.encode(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("The signing key is not Ed25519.")
        self.signing_key = key
        self.signing_kid = thumbprint(key.public_key())
        public_keys = [key.public_key()]
        for pem in verifying_pems.split(_PEM_END)[:-1]:
            retired = load_pem_public_key((pem + _PEM_END).strip().encode())
            if not isinstance(retired, Ed25519PublicKey):
                raise ValueError("A verifying key is not Ed25519.")
            public_keys.append(retired)
        self.public_keys = {thumbprint(public): public for public in public_keys}

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public halves as a JSON Web Key Set (RFC 7517)."""
        return {
            "keys": [
                {
                    **OKPAlgorithm.to_jwk(key, as_dict=True),
                    "kid": kid,
                    "use": "sig",
                    "alg": ALGORITHM,
                }
                for kid, key in self.public_keys.items()
            ]
        }


def thumbprint(key: Ed25519PublicKey) -> str:
    """The key's name: RFC 7638 section 3, for the members RFC 8037 requires."""
    jwk = OKPAlgorithm.to_jwk(key, as_dict=True)
    required = {name: jwk[name] for name in ("crv", "kty", "x")}
    digest = Hash(SHA256())
    digest.update(json.dumps(required, separators=(",", ":"), sort_keys=True).encode())
    return base64url_encode(digest.finalize()).decode()


@cache
def key_ring() -> KeyRing:
    return KeyRing(settings.TOKEN_SIGNING_KEY, settings.TOKEN_VERIFYING_KEYS)


class KeyRingBackend(TokenBackend):
    """simplejwt's backend, with the header naming the key and the key looked up by that name."""

    @cached_property
    def ring(self) -> KeyRing:
        return key_ring()

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "iss": self.issuer, "aud": self.audience}
        headers = {"kid": self.ring.signing_kid, "typ": TOKEN_TYPE}
        return jwt.encode(claims, self.ring.signing_key, algorithm=ALGORITHM, headers=headers)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """The claims of a token that is ours and in force. Raises TokenBackendError."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != TOKEN_TYPE:
                raise TokenBackendError("The token is not an access token")
            key = self.ring.public_keys.get(header.get("kid", ""))
            if key is None:
                raise TokenBackendError("The token names a key that is not ours")
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.get_leeway(),
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenBackendError("The token has expired") from error
        except jwt.InvalidTokenError as error:
            raise TokenBackendError("The token is not valid") from error


@cache
def _backend() -> KeyRingBackend:
    jwt_settings = settings.SIMPLE_JWT
    return KeyRingBackend(
        ALGORITHM,
        audience=jwt_settings["AUDIENCE"],
        issuer=jwt_settings["ISSUER"],
        leeway=jwt_settings["LEEWAY"],
    )


class AccessToken(Token):
    token_type = "access"  # noqa: S105
    lifetime = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]

    def get_token_backend(self) -> TokenBackend:
        return _backend()


def issue_access_token(
    *, subject: str, tenant: str, scopes: list[str], client_id: str = "", session: str = ""
) -> AccessToken:
    """A token for `subject` to act for `tenant`; `str()` of it is what goes over the wire.

    client_id  the program that asked for it (RFC 9068); a key is its own client
    session    of a person: the family of tokens it belongs to
    """
    token = AccessToken()
    token["sub"] = subject
    token["client_id"] = client_id or subject
    token["tenant"] = tenant
    token["scope"] = " ".join(scopes)
    if session:
        token["sid"] = session
    return token
