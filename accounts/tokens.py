"""Access tokens: short JWTs (RFC 9068) signed with Ed25519.

simplejwt and PyJWT make and check them; here is what they lack: the `kid` header and the ring of
keys behind it (accounts/keyring.py), and no tolerance for anything that we do not write.
"""

import time
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any

import jwt
from django.conf import settings
from jwt.utils import base64url_decode, base64url_encode
from rest_framework.exceptions import ParseError
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import Token

from accounts.keyring import ALGORITHM, key_ring, verifying_key
from config.parsers import loads

TOKEN_TYPE = "at+jwt"  # noqa: S105  (RFC 9068 section 2.1)
HEADERS = {"alg", "typ", "kid"}
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "jti"]
TIMES = ("exp", "iat", "nbf")
NOT_OUR_KEY = "The token names a key that is not ours"
EXPIRED = "The token has expired"


class KeyRingBackend(TokenBackend):
    """simplejwt's backend, with the header naming the key and the key looked up by that name."""

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "iss": self.issuer, "aud": self.audience}
        ring = key_ring()
        headers = {"kid": ring.signing_kid, "typ": TOKEN_TYPE}
        return jwt.encode(claims, ring.signing_key, algorithm=ALGORITHM, headers=headers)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """The claims of a token that is ours and in force. Raises TokenBackendError."""
        kid, claims = _verified(self, token)
        # What may have changed since its signature was verified: our keys, and the time.
        if verifying_key(kid) is None:
            raise TokenBackendError(NOT_OUR_KEY)
        if time.time() >= claims["exp"] + self.get_leeway().total_seconds():
            raise TokenBackendError(EXPIRED)
        return dict(claims)

    def verify(self, token: Any) -> tuple[str, dict[str, Any]]:
        """The id of its key and its claims. Raises TokenBackendError."""
        header, claims = _read(token)
        self._check(header, claims)
        key = verifying_key(header["kid"])
        if key is None:
            raise TokenBackendError(NOT_OUR_KEY)
        try:
            verified: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.get_leeway(),
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenBackendError(EXPIRED) from error
        except jwt.InvalidTokenError as error:
            raise TokenBackendError("The token is not valid") from error
        return header["kid"], verified

    def _check(self, header: dict[str, Any], claims: dict[str, Any]) -> None:
        """What PyJWT lets pass although we never write it. Raises TokenBackendError."""
        # No `crit`, `jku`, `jwk`, `x5u`, `zip`: what is not there cannot be obeyed.
        if header.keys() != HEADERS or header["alg"] != ALGORITHM or header["typ"] != TOKEN_TYPE:
            raise TokenBackendError("The token is not an access token of ours")
        times = [claims[name] for name in TIMES if name in claims]
        if any(type(at) is not int or at < 0 for at in times):
            raise TokenBackendError("A time in the token is not a number of seconds")
        if not all(isinstance(claims.get(name), str) for name in ("iss", "aud", "sub", "jti")):
            raise TokenBackendError("A claim is missing or is not a text")
        lives = claims.get("exp", 0) - claims.get("iat", 0)
        if not 0 < lives <= AccessToken.lifetime.total_seconds():
            raise TokenBackendError("The token lives longer than ours do")
        if claims["iat"] > time.time() + self.get_leeway().total_seconds():
            raise TokenBackendError("The token is from the future")


def _read(token: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified, in the one encoding that a token has: base64 without spare
    bits, JSON without a name twice. Raises TokenBackendError."""
    raw = token.encode() if isinstance(token, str) else token
    parts = raw.split(b".")
    if len(parts) != 3:
        raise TokenBackendError("The token does not have three parts")
    try:
        decoded = [base64url_decode(part) for part in parts]
        header, claims = loads(decoded[0]), loads(decoded[1])
    except (ValueError, ParseError) as error:
        raise TokenBackendError("The token cannot be read") from error
    if [base64url_encode(part) for part in decoded] != parts:
        raise TokenBackendError("The token has another encoding than ours")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenBackendError("The token does not hold objects")
    return header, claims


def key_of(token: bytes) -> str:
    """The id of the key that a token of ours is signed with."""
    return str(_read(token)[0]["kid"])


# To verify a signature again costs as much as a query. What is not ours is not kept.
_verified = lru_cache(maxsize=10_000)(KeyRingBackend.verify)


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
    lifetime: timedelta = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]

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
