"""Others' OAuth clients at the real stack, and how fast what they got can be taken away."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import jwcrypto.jwk
import jwcrypto.jwt
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.local.demo import get_token
from deploy.local.stack import ROOT

LOOPBACK = "http://127.0.0.1:53682/callback"
VERIFIER = "verifier-" + "0" * 40

PEOPLE = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from tenants.services import keys
from tests.factories import ApiKeyFactory, ApiSessionFactory, TenantFactory, UserFactory

def one():
    tenant = TenantFactory(slug=f"t-{__import__('uuid').uuid4()}")
    user = UserFactory(email=f"{tenant.slug}@example.com", password=None)  # hashing takes its time
    opened = ApiSessionFactory(tenant=tenant, user=user)
    key = ApiKeyFactory(tenant=tenant)
    cookie = import_module(settings.SESSION_ENGINE).SessionStore()
    cookie[SESSION_KEY] = str(user.pk)
    cookie[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    cookie[HASH_SESSION_KEY] = user.get_session_auth_hash()
    cookie.save()
    return {
        "tenant": str(tenant.id),
        "user": user.pk,
        "public_id": str(user.public_id),
        "cookie": {settings.SESSION_COOKIE_NAME: cookie.session_key},
        "access": str(opened.access),
        "refresh": opened.refresh,
        "session": str(opened.session.id),
        "client_id": key.key.client_id,
        "client_secret": key.client_secret,
    }

print(json.dumps([one() for _ in range(COUNT)]))
"""


@pytest.fixture(scope="module")
def people(live_stack):
    """As many as are needed, each the owner of a tenant of their own with a key."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", PEOPLE.replace("COUNT", "12")],
        cwd=ROOT,
        env={**live_stack.stack.env, **live_stack.stack.secrets},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def person(people):
    return people.pop()


@pytest.fixture
def metadata(live):
    return requests.get(f"{live.url}/.well-known/oauth-authorization-server", timeout=10).json()


def let_in(person, page):
    """What a person's browser does: opens the page, ticks what is there, allows it."""
    browser = requests.Session()
    browser.cookies.update(person["cookie"])
    html = browser.get(page, timeout=10).text
    fields = dict(re.findall(r'name="(csrfmiddlewaretoken|tenant)" value="([^"]+)"', html))
    scopes = re.findall(r'name="scope" value="([^"]+)"', html)
    answer = browser.post(
        page,
        data={**fields, "scope": scopes, "decision": "approve"},
        headers={"Origin": f"http://{urlsplit(page).netloc}"},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


# --- Others' clients and judges ---------------------------------------------------------------


def test_authlib_gets_and_uses_a_token_for_a_key(live, person, metadata):
    client = OAuth2Session(person["client_id"], person["client_secret"], scope="jobs:read")

    client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")

    assert client.token["scope"] == "jobs:read"
    assert client.get(f"{live.url}/jobs").json() == {"data": [], "next": None}


def test_authlib_signs_a_person_in_refreshes_and_signs_out(live, person, metadata):
    client = OAuth2Session(
        "guidepost-cli",
        scope="jobs:read jobs:submit",
        redirect_uri=LOOPBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
    )
    page, state = client.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=VERIFIER
    )

    back = let_in(person, page)
    first = client.fetch_token(
        metadata["token_endpoint"],
        authorization_response=back,
        state=state,
        code_verifier=VERIFIER,
    )
    listed = client.get(f"{live.url}/sessions").json()["data"]
    second = client.refresh_token(metadata["token_endpoint"], refresh_token=first["refresh_token"])
    jobs = client.get(f"{live.url}/jobs")
    client.revoke_token(
        metadata["revocation_endpoint"],
        token=second["refresh_token"],
        token_type_hint="refresh_token",
    )

    assert first["scope"] == "jobs:read jobs:submit"
    assert [s["client_id"] for s in listed if s["is_current"]] == ["guidepost-cli"]
    assert jobs.status_code == 200
    live.until(lambda: client.get(f"{live.url}/jobs").status_code == 401, seconds=2)


def test_two_other_libraries_find_our_tokens_to_be_rfc_9068(live, person, metadata):
    published = requests.get(metadata["jwks_uri"], timeout=10).json()

    checked = jwt.decode(person["access"], KeySet.import_key_set(published), algorithms=["EdDSA"])
    claims = JWTAccessTokenClaims(
        checked.claims,
        checked.header,
        {
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": metadata["issuer"]},
            "sub": {"essential": True, "value": person["public_id"]},
            "client_id": {"essential": True, "value": "guidepost-cli"},
        }
        | {name: {"essential": True} for name in ("exp", "iat", "jti", "scope", "tenant", "sid")},
    )
    claims.validate()
    again = jwcrypto.jwt.JWT(
        jwt=person["access"],
        key=jwcrypto.jwk.JWKSet.from_json(json.dumps(published)),
        algs=["EdDSA"],
    )

    assert checked.header["typ"] == "at+jwt"
    assert json.loads(again.claims) == checked.claims
    assert claims["sid"] == person["session"]
    assert claims["tenant"] == person["tenant"]


def test_authlib_finds_the_metadata_in_order_and_every_endpoint_is_there(
    live, metadata, monkeypatch
):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # this stack speaks plain http

    AuthorizationServerMetadata(metadata).validate()

    there = {name: url for name, url in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    assert set(there) == {
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    }
    for url in there.values():
        assert requests.get(url, timeout=10).status_code not in (404, 500)
    for grant in metadata["grant_types_supported"]:
        refusal = requests.post(
            metadata["token_endpoint"], data={"grant_type": grant}, timeout=10
        ).json()
        assert refusal["error"] == "invalid_request", grant  # known, only incomplete


# --- Odd requests, as they come over the wire -------------------------------------------------


def ask(live, *headers, path="/jobs"):
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=10)
    connection.putrequest("GET", path)
    for value in headers:
        connection.putheader("Authorization", value)
    connection.endheaders()
    with connection.getresponse() as answer:
        return answer.status, json.load(answer)["code"], answer.headers["WWW-Authenticate"]


def test_a_token_that_comes_in_an_odd_way_is_refused(live, person):
    good = f"Bearer {person['access']}"
    refused = (401, "invalid_token", 'Bearer realm="guidepost", error="invalid_token"')

    assert ask(live) == (401, "token_missing", 'Bearer realm="guidepost"')
    assert ask(live, "") == (401, "token_missing", 'Bearer realm="guidepost"')
    assert ask(live, good, good) == refused
    assert ask(live, good, "Bearer x") == refused
    assert ask(live, "Bearer x", good) == refused
    assert ask(live, good, "") == refused
    assert ask(live, person["access"]) == refused
    assert ask(live, f"Token {person['access']}") == refused
    assert ask(live, f"Basic {person['access']}") == refused
    assert ask(live, f"Bearer {person['refresh']}") == refused
    assert ask(live, good, path="/jobs?access_token=x") == refused
    without = ask(live, path=f"/jobs?access_token={person['access']}")
    assert without[:2] == (401, "invalid_token")


# --- Taken away -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replicas(live_stack):
    with ExitStack() as stack:
        yield [stack.enter_context(live_stack.another_web()) for _ in range(2)]


class Caller(threading.Thread):
    """Calls one server without pause; notes when each call began and what came of it."""

    def __init__(self, url, token):
        super().__init__()
        self.url, self.answers, self.ended = url, [], threading.Event()
        self.headers = {"Authorization": f"Bearer {token}"}

    def run(self):
        with requests.Session() as session:
            while not self.ended.is_set():
                began = time.monotonic()
                answer = session.get(f"{self.url}/jobs", headers=self.headers, timeout=10)
                self.answers.append((began, answer.status_code))
                time.sleep(0.01)


def sql(statement):
    return lambda live, who: live.rows(f"{statement} RETURNING 1", *_values(statement, who))


def _values(statement, who):
    return [who[name] for name in re.findall(r"/\*(\w+)\*/", statement)]


def key_token(live, who):
    return get_token(live.url, who)


def revoke(token_name):
    def act(live, who):
        fields = {"client_id": "guidepost-cli", "token": who[token_name]}
        assert requests.post(f"{live.url}/oauth/revoke", fields, timeout=10).status_code == 200

    return act


def end_session(live, who):
    answer = requests.delete(
        f"{live.url}/sessions/{who['session']}",
        headers={"Authorization": f"Bearer {who['access']}"},
        timeout=10,
    )
    assert answer.status_code == 204


TAKEN = {
    "key": sql("UPDATE tenants_apikey SET revoked_at = now() WHERE client_id = /*client_id*/ %s"),
    "member": sql("DELETE FROM tenants_membership WHERE user_id = /*user*/ %s"),
    "person": sql("UPDATE accounts_user SET is_active = false WHERE id = /*user*/ %s"),
    "tenant": sql("UPDATE tenants_tenant SET is_active = false WHERE id = /*tenant*/ %s"),
    "session, by its owner": end_session,
    "session, by the client": revoke("refresh"),
    "token": revoke("access"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken_away_is_gone_from_every_server_within_a_second(live, replicas, people, what):
    who = people.pop()
    token = key_token(live, who) if what == "key" else who["access"]
    callers = [Caller(url, token) for url in replicas]
    for caller in callers:
        caller.start()
    live.until(lambda: all(len(caller.answers) > 20 for caller in callers))

    TAKEN[what](live, who)
    taken_at = time.monotonic()

    def after(caller):
        return [status for began, status in caller.answers if began >= taken_at + 1.0]

    live.until(lambda: all(len(after(caller)) > 5 for caller in callers))
    for caller in callers:
        caller.ended.set()
        caller.join()

    for caller in callers:
        before = {status for began, status in caller.answers if began < taken_at - 0.1}
        assert before == {200}
        assert set(after(caller)) == {401}
