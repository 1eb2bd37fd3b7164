import json

import jwt
import pytest
from django.conf import settings
from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT
from jwt.utils import base64url_decode, base64url_encode
from rest_framework_simplejwt.exceptions import TokenError

from accounts.keyring import key_ring
from accounts.tokens import AccessToken, issue_access_token
from tests.accounts.forge import forge

pytestmark = pytest.mark.django_db


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


def test_an_independent_library_verifies_a_token_from_the_published_keys(client):
    published = client.get("/.well-known/jwks.json")
    token = str(issue_access_token(subject="gpc_1", tenant="t", scopes=["jobs:read"]))

    judged = JWT(jwt=token, key=JWKSet.from_json(published.text), algs=["EdDSA"])

    assert '"scope":"jobs:read"' in judged.claims
    assert all("d" not in jwk for jwk in published.json()["keys"])


def test_the_name_of_a_key_is_its_rfc_7638_thumbprint(client):
    published = client.get("/.well-known/jwks.json").text

    (key,) = JWKSet.from_json(published)["keys"]

    assert key.thumbprint() == key["kid"] == key_ring().signing_kid
    assert set(key.export_public(as_dict=True)) == {"kty", "crv", "x", "kid", "use", "alg"}


def test_a_token_that_was_verified_before_expires_all_the_same(monkeypatch):
    text = str(issue_access_token(subject="gpc_1", tenant="t", scopes=[]))
    expires = AccessToken(text)["exp"]
    leeway = settings.SIMPLE_JWT["LEEWAY"]

    monkeypatch.setattr("accounts.tokens.time.time", lambda: expires + leeway - 1)
    AccessToken(text)
    monkeypatch.setattr("accounts.tokens.time.time", lambda: expires + leeway)

    with pytest.raises(TokenError):
        AccessToken(text)
