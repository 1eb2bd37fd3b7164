import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.conf import settings
from jwt.utils import base64url_decode, base64url_encode
from rest_framework_simplejwt.exceptions import TokenError

from accounts.tokens import AccessToken, KeyRing, issue_access_token, key_ring

OURS = object()


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def forge(claims=None, headers=None, key=OURS, algorithm="EdDSA"):
    """A token that is ours in everything but what the arguments change."""
    now = int(time.time())
    good = {
        "iss": settings.PUBLIC_URL,
        "aud": settings.PUBLIC_URL,
        "sub": "gpc_x",
        "tenant": "00000000-0000-0000-0000-000000000000",
        "scope": "jobs:read",
        "token_type": "access",
        "jti": "1",
        "iat": now,
        "exp": now + 60,
    }
    payload = {k: v for k, v in (good | (claims or {})).items() if v is not None}
    ring = key_ring()
    named = {"kid": ring.signing_kid, "typ": "at+jwt"} | (headers or {})
    return jwt.encode(
        payload, ring.signing_key if key is OURS else key, algorithm=algorithm, headers=named
    )


def test_a_token_says_who_acts_for_whom_and_what_for():
    token = AccessToken(str(issue_access_token(subject="gpc_1", tenant="t", scopes=["a", "b"])))

    assert (token["sub"], token["tenant"], token["scope"]) == ("gpc_1", "t", "a b")
    assert token["iss"] == token["aud"] == settings.PUBLIC_URL
    assert token["exp"] - token["iat"] == 900


def test_a_persons_token_says_through_which_client_and_in_which_session():
    issued = issue_access_token(
        subject="p", tenant="t", scopes=["a"], client_id="guidepost-cli", session="s"
    )
    token = AccessToken(str(issued))

    assert (token["sub"], token["client_id"], token["sid"]) == ("p", "guidepost-cli", "s")


def test_a_key_is_its_own_client_and_has_no_session():
    token = AccessToken(str(issue_access_token(subject="gpc_1", tenant="t", scopes=["a"])))

    assert token["client_id"] == "gpc_1"
    assert "sid" not in token


def altered(token, **claims):
    """The same token with other claims, under the signature of the old ones."""
    header, payload, signature = token.split(".")
    said = json.loads(base64url_decode(payload)) | claims
    return ".".join([header, base64url_encode(json.dumps(said).encode()).decode(), signature])


@pytest.mark.parametrize(
    "claims",
    [{}, {"tenant": "11111111-1111-1111-1111-111111111111"}, {"role": "owner"}, {"scope": "x y"}],
    ids=str,
)
def test_a_token_whose_claims_were_altered_is_refused(claims):
    good = forge()

    with pytest.raises(TokenError):
        AccessToken(altered(good, **claims, jti="2"))

    assert AccessToken(good)["jti"] == "1"


def test_its_header_has_the_type_and_the_key():
    header = jwt.get_unverified_header(str(issue_access_token(subject="x", tenant="t", scopes=[])))

    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": key_ring().signing_kid}


def test_the_forger_of_these_tests_makes_good_tokens():
    assert AccessToken(forge())["sub"] == "gpc_x"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: forge({"exp": int(time.time()) - 60}), id="expired"),
        pytest.param(lambda: forge({"iat": int(time.time()) + 600}), id="from the future"),
        pytest.param(lambda: forge({"iss": "https://evil.example"}), id="other issuer"),
        pytest.param(lambda: forge({"aud": "https://evil.example"}), id="other audience"),
        pytest.param(lambda: forge({"exp": None}), id="no end"),
        pytest.param(lambda: forge({"jti": None}), id="no id"),
        pytest.param(lambda: forge({"sub": None}), id="no subject"),
        pytest.param(lambda: forge({"token_type": "refresh"}), id="a refresh token"),
        pytest.param(lambda: forge(headers={"typ": "JWT"}), id="another type of JWT"),
        pytest.param(lambda: forge(headers={"kid": "unknown"}), id="unknown key"),
        pytest.param(lambda: forge(headers={"kid": "../../etc/passwd"}), id="key by path"),
        pytest.param(lambda: forge(key=Ed25519PrivateKey.generate()), id="other key, our name"),
        pytest.param(lambda: forge(key=None, algorithm="none"), id="unsigned"),
        pytest.param(lambda: forge(key="k" * 32, algorithm="HS256"), id="other algorithm"),
        pytest.param(lambda: forge()[:-4] + "AAAA", id="altered signature"),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "a.b.c", id="nonsense"),
    ],
)
def test_any_other_token_is_refused(token):
    with pytest.raises(TokenError):
        AccessToken(token())


def test_tokens_of_a_retired_key_stay_good_while_its_public_half_is_listed():
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    ring = KeyRing(pem(new), public_pem(old) + public_pem(Ed25519PrivateKey.generate()))

    assert KeyRing(pem(old)).signing_kid in ring.public_keys
    assert ring.signing_kid == KeyRing(pem(new)).signing_kid
    assert len(ring.public_keys) == 3


def test_an_independent_library_verifies_a_token_from_the_published_keys(client):
    published = client.get("/.well-known/jwks.json").json()
    token = str(issue_access_token(subject="gpc_1", tenant="t", scopes=["jobs:read"]))

    key = jwt.PyJWKSet.from_dict(published)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=settings.PUBLIC_URL)

    assert claims["scope"] == "jobs:read"
    assert all("d" not in jwk for jwk in published["keys"])


def test_the_name_of_a_key_is_its_rfc_7638_thumbprint():
    ring = key_ring()
    published = ring.jwks()["keys"][0]

    assert set(published) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert published["kid"] == ring.signing_kid
    assert len(ring.signing_kid) == 43
