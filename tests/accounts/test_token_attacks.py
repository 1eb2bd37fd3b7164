"""What others have sent to services like ours in place of a token. All of it is 401."""

import hashlib
import hmac
import json
import time
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey
from jwcrypto.jwk import JWK
from jwcrypto.jwt import JWT

from accounts.keyring import key_ring
from accounts.tokens import AccessToken
from tenants.models import ApiKey, Tenant
from tenants.permissions import create_groups
from tests.accounts.forge import b64, forge, good_claims, good_header, our_public_pem
from tests.config.test_problems import check_problem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _such_a_key():
    """Whom forged tokens name is there: they are refused for what is wrong with them."""
    claims = good_claims()
    named = Tenant.objects.create(id=claims["tenant"], name="Named", slug="named")
    create_groups(named)
    ApiKey.objects.create(
        tenant=named, client_id=claims["sub"], name="Test", digest="0" * 64, scopes=["jobs:read"]
    )


def soon(seconds=60):
    return int(time.time()) + seconds


def of_a_stranger(**headers):
    return forge(headers=headers, sign=Ed25519PrivateKey.generate().sign)


def by_hmac(secret, **headers):
    def sign(signed):
        return hmac.new(secret, signed, hashlib.sha256).digest()

    return forge(headers={"alg": "HS256", **headers}, sign=sign)


def unsigned(alg):
    return forge(headers={"alg": alg}, sign=lambda signed: b"")


def with_its_own_key():
    """Signed by the key that its header brings along (CVE-2018-0114)."""
    key = JWK.generate(kty="OKP", crv="Ed25519")
    header = good_header(jwk=key.export_public(as_dict=True))
    token = JWT(header=header, claims=good_claims())
    token.make_signed_token(key)
    return token.serialize()


def encrypted():
    key = OctKey.generate_key(256)
    header = {"alg": "dir", "enc": "A256GCM", "kid": key_ring().signing_kid, "typ": "at+jwt"}
    return jwe.encrypt_compact(header, json.dumps(good_claims()).encode(), key)


def nested():
    return forge(body=forge().encode(), headers={"cty": "JWT"})


def by_the_standard_library_of_another():
    """Sound in every way, but of a key that is not ours."""
    key = OKPKey.generate_key("Ed25519")
    return jws.serialize_compact(good_header(), json.dumps(good_claims()).encode(), key, ["EdDSA"])


def json_text(claims, *more):
    """The claims as JSON, with further members that a dictionary cannot hold."""
    return (json.dumps(claims)[:-1] + "".join(f", {member}" for member in more) + "}").encode()


def with_an_altered_claim():
    header, _, signature = forge().split(".")
    return f"{header}.{b64(good_claims(scope='keys:manage'))}.{signature}"


def times():
    return {
        "expired": {"exp": soon(-60), "iat": soon(-120)},
        "an end that is text": {"exp": str(soon())},
        "an end that is a fraction": {"exp": soon() + 0.5},
        "an end that is true": {"exp": True},
        "an end that is huge": {"exp": 10**30},
        "an end before 1970": {"exp": -1},
        "an end in ten years": {"exp": soon(315_360_000)},
        "an end that is a list": {"exp": [soon()]},
        "no end": {"exp": None},
        "no beginning": {"iat": None},
        "a beginning that is text": {"iat": str(soon(0))},
        "from the far future": {"iat": soon(86_400), "exp": soon(86_460)},
        "from the near future": {"iat": soon(45), "exp": soon(100)},
        "not yet": {"nbf": soon(600)},
        "not yet, as text": {"nbf": "0"},
    }


NAMES = {
    "another issuer": {"iss": "https://evil.example"},
    "our issuer in a list": {"iss": [settings.PUBLIC_URL]},
    "no issuer": {"iss": None},
    "another audience": {"aud": "https://evil.example"},
    "one audience of several": {"aud": [settings.PUBLIC_URL, "https://evil.example"]},
    "no audience": {"aud": None},
    "no subject": {"sub": None},
    "a subject that is a number": {"sub": 1},
    "no id": {"jti": None},
    "a refresh token": {"token_type": "refresh"},
    "no token type": {"token_type": None},
}
HEADERS = {
    "another type": {"typ": "JWT"},
    "an id token": {"typ": "id_token+jwt"},
    "no type": {"typ": None},
    "no algorithm": {"alg": None},
    "a list of algorithms": {"alg": ["EdDSA", "none"]},
    "another algorithm by name": {"alg": "RS256"},
    "a key by path": {"kid": "../../../../dev/null"},
    "a key by SQL": {"kid": "' UNION SELECT 'x' --"},
    "a key by address": {"kid": "http://127.0.0.1:9/keys"},
    "a key that is an object": {"kid": {"$ne": ""}},
    "a key that is a number": {"kid": 0},
    "no key": {"kid": None},
    "an unknown key": {"kid": "A" * 43},
    "an address of keys": {"jku": "http://127.0.0.1:9/jwks.json"},
    "an address of certificates": {"x5u": "http://127.0.0.1:9/cert.pem"},
    "a certificate": {"x5c": ["MIIB"]},
    "an extension that we must know": {"crit": ["exp2"], "exp2": 1},
    "an extension that nobody names": {"b64": False, "crit": ["b64"]},
    "compressed, it says": {"zip": "DEF"},
    "other content": {"cty": "JWT"},
}
TOKENS = {
    **{name: (lambda n=name: forge(times()[n])) for name in times()},  # reckoned when it is sent
    **{name: (lambda c=c: forge(c)) for name, c in NAMES.items()},
    **{name: (lambda h=h: forge(headers=h)) for name, h in HEADERS.items()},
    **{f"unsigned, {alg}": (lambda a=alg: unsigned(a)) for alg in ("none", "None", "nOnE", "")},
    "our public key as a password": lambda: by_hmac(our_public_pem()),
    "our public key as a password, unnamed": lambda: by_hmac(our_public_pem(), kid=None),
    "no password": lambda: by_hmac(b""),
    "another key under our name": of_a_stranger,
    "another library's token": by_the_standard_library_of_another,
    "a key it brings along": with_its_own_key,
    "encrypted": encrypted,
    "a token in a token": nested,
    "compressed": lambda: forge(body=zlib.compress(json.dumps(good_claims()).encode())),
    "two ends": lambda: forge(
        body=json_text(good_claims(exp=None), '"exp": 1', f'"exp": {soon()}')
    ),
    "an endless end": lambda: forge(body=json_text(good_claims(exp=None), '"exp": Infinity')),
    "no number for an end": lambda: forge(body=json_text(good_claims(exp=None), '"exp": NaN')),
    "an end beyond a float": lambda: forge(body=json_text(good_claims(exp=None), '"exp": 1e999')),
    "two algorithms": lambda: forge(head=json_text(good_header(), '"alg": "none"')),
    "claims that are a list": lambda: forge(body=b"[]"),
    "claims that are null": lambda: forge(body=b"null"),
    "a header that is a text": lambda: forge(head=b'"EdDSA"'),
    "a header of a thousand lists": lambda: forge(head=b"[" * 4000 + b"]" * 4000),
    "other bytes than UTF-8": lambda: forge(body=b'{"sub": "\xff"}'),
    "an altered claim": with_an_altered_claim,
    "an altered signature": lambda: forge()[:-4] + "AAAA",
    "a signature with spare bits": lambda: _spare_bits(forge()),
    "a signature in padding": lambda: forge() + "==",
    "a line break in it": lambda: forge().replace(".", "\n.", 1),
    "four parts": lambda: forge() + ".AAAA",
    "two parts": lambda: forge().rpartition(".")[0],
    "nothing": lambda: "x",
    "nonsense": lambda: "a.b.c",
    "dots": lambda: "..",
}


def _spare_bits(token):
    """The same 64 bytes, written with a last letter whose unused bits are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def test_the_forger_of_these_tests_makes_good_tokens(client):
    assert AccessToken(forge())["sub"] == "gpc_x"
    assert client.get("/jobs", headers={"Authorization": f"Bearer {forge()}"}).status_code == 200


@pytest.mark.parametrize("name", TOKENS)
def test_it_is_401_and_nobody_is_asked_for_a_key(client, monkeypatch, name):
    token = TOKENS[name]()

    def no_way_out(*args, **kwargs):
        raise AssertionError("A connection was opened for a token's sake.")

    monkeypatch.setattr("socket.create_connection", no_way_out)
    monkeypatch.setattr("urllib.request.urlopen", no_way_out)

    response = client.get("/jobs", headers={"Authorization": f"Bearer {token}"})

    check_problem(response, 401, "invalid_token")
    assert "WWW-Authenticate" in response.headers


def test_a_token_in_the_address_is_no_token(client):
    response = client.get(f"/jobs?access_token={forge()}")

    check_problem(response, 401, "invalid_token")
