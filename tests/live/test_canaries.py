"""No secret and no word of a guideline is found where it has no business: P21 of the promises.

A stack of its own, with its own servers and all their logs, is used and abused with texts and
secrets that can be recognised. Then everything that outlives a request is searched: a dump, every
log, Redis with its append-only file, the staff's pages and every refusal. That the search would
find them is tested first.
"""

import base64
import json
import secrets
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import redis

from config.crypto import KeyRing
from deploy.local.prepared import prepare
from deploy.local.stack import Stack
from tests.live import canaries
from tests.live.browser import Browser, new_code
from tests.live.canaries import Trace, traces
from tests.live.whole_stack import Live, failpoints

WORD = f"canary{secrets.token_hex(8)}"
GONE = f"canary{secrets.token_hex(8)}"  # of the guideline that is deleted
PROVIDER_KEY = f"sk-canary-{secrets.token_hex(16)}"
WRONG_SECRET = f"gps_canary{secrets.token_hex(16)}"
WRONG_PASSWORD = f"canary-{secrets.token_hex(8)}"
TITLE = f"titled{secrets.token_hex(8)}"  # titles may be found: this one proves that we looked

GUIDELINE = (
    f"""# Hygiene {WORD}

Staff MUST disinfect the {WORD} before every contact. Visitors SHOULD NOT touch the {WORD}.
"""
    + "The ward sister MAY allow a visit after 20:00.\n" * 40
)


# --- The search finds what is there -------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "planted"),
    [
        ("clear", lambda c: c),
        ("clear", lambda c: c.swapcase()),
        ("clear", lambda c: urllib.parse.quote(c, safe="")),
        ("hex", lambda c: c.hex()),
        ("hex", lambda c: c.hex().upper()),
        ("base64", base64.b64encode),
        ("base64", lambda c: base64.b64encode(b"a" + c + b"b")),
        ("base64", lambda c: base64.urlsafe_b64encode(b"ab" + c + b"cd")),
        ("zlib", lambda c: b"\\x" + (b"\1\1\0\0" + zlib.compress(c * 9)).hex().encode()),
        ("bytea", lambda c: b"\\\\x" + (b"\1" * 30 + c.upper()).hex().encode()),
    ],
)
def test_a_planted_canary_is_found_in_every_form(form, planted):
    canary = f"sk/canary+{secrets.token_hex(12)}"
    put = planted(canary.encode())
    haystack = b"before " + (put if isinstance(put, bytes) else put.encode()) + b" after"

    found = traces("here", haystack, {"planted": canary, "other": "not there at all"})

    assert Trace("here", "planted", form) in found
    assert {trace.canary for trace in found} == {"planted"}


# --- A provider that gives away what it is told -------------------------------------------------


class Gossip(BaseHTTPRequestHandler):
    """Stands between the workers and the model. What it does to a text, the text asks for."""

    protocol_version = "HTTP/1.1"
    model = ""  # where the offline engine listens
    waiting = threading.Event()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"please-echo" in body:
            told = f"{self.headers['Authorization']} was told: {body.decode()}"
            self._answer(400, {"error": {"message": told, "code": "bad_request"}})
        elif b"please-babble" in body:
            message = {"role": "assistant", "content": f"No JSON but {WORD}", "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._answer(200, {"id": "1", "object": "chat.completion", "choices": [choice]})
        else:
            if b"please-wait" in body:
                self.waiting.set()
                time.sleep(2)
            self._pass_on(body)

    def _pass_on(self, body):
        headers = {k: v for k, v in self.headers.items() if k != "Host"}
        request = urllib.request.Request(self.model + self.path, body, headers)
        with urllib.request.urlopen(request) as answer:
            self._answer(answer.status, json.load(answer))

    def _answer(self, status, value):
        payload = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except OSError:
            self.close_connection = True  # a worker that was told to stop has hung up

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def live():
    folder = Path(tempfile.mkdtemp(prefix="guidepost-canaries-"))
    folder.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    gossip = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    threading.Thread(target=gossip.serve_forever, daemon=True).start()
    settings = {
        "JOB_LEASE_SECONDS": "8",
        "LOG_LEVEL": "DEBUG",
        "OPENAI_API_KEY": PROVIDER_KEY,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{gossip.server_port}/v1",
        "OPENAI_MODEL": "guidepost-offline-1",
        **failpoints(folder),
    }
    prepare(folder)
    stack = Stack(folder, settings=settings, durable=False)
    stack.start()
    Gossip.model = stack.env["OFFLINE_MODEL_URL"].removesuffix("/v1")
    yield Live(stack, None, stack.database_url)
    stack.stop()
    gossip.shutdown()
    shutil.rmtree(folder)


# --- What is done ---------------------------------------------------------------------------------


class Abuse:
    """Uses the API and the staff's pages, and keeps every answer."""

    def __init__(self, live):
        self.live = live
        self.problems: dict[str, bytes] = {}
        self.pages: dict[str, bytes] = {}

    def send(self, method, path, body=b"", **headers):
        """(status, body) of a request whose answer is kept if it is a refusal."""
        authorization = {"Authorization": f"Bearer {self.live.token()}"}
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        request = urllib.request.Request(
            self.live.url + path,
            method=method,
            data=body or None,
            headers={"Content-Type": "application/json", **authorization, **given},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            said = error.read()
            self.problems[f"{error.code} {method} {path} #{len(self.problems)}"] = said
            return error.code, said

    def submit(self, text, **fields):
        body = json.dumps({"guideline_text": text, "title": TITLE, **fields}).encode()
        status, answer = self.send("POST", "/jobs", body)
        assert status == 202, answer
        return json.loads(answer)["event_id"]

    def be_refused(self):
        text = json.dumps(GUIDELINE).encode()
        job = b'{"guideline_text": ' + text
        token = self.live.token()
        for expected, method, path, body, headers in [
            (422, "POST", "/jobs", job + b', "colour": 1}', {}),
            (422, "POST", "/jobs", job + b', "title": ' + text * 1 + b', "priority": 9}', {}),
            (400, "POST", "/jobs", job, {}),
            (400, "POST", "/jobs", job + b"\xff}", {}),
            (400, "POST", "/jobs", job + b', "a": "\\u0000"}', {}),
            (415, "POST", "/jobs", job + b"}", {"Content_Type": "text/plain"}),
            (413, "POST", "/jobs", json.dumps({"guideline_text": WORD * 60_000}).encode(), {}),
            (422, "GET", f"/jobs?status={WORD}", b"", {}),
            (400, "GET", f"/jobs?cursor={WORD}", b"", {}),
            (404, "GET", f"/{token}", b"", {}),
            (401, "GET", f"/jobs?access_token={token}", b"", {"Authorization": ""}),
            (401, "GET", "/jobs", b"", {"Authorization": f"Bearer {token}x"}),
            (401, "GET", "/jobs", b"", {"Authorization": f"Token {token}"}),
            (405, "PUT", "/jobs", job + b"}", {}),
        ]:
            status, answer = self.send(method, path, body, **headers)
            assert status == expected, (path, status, answer)
        self._wrong_secret()

    def _wrong_secret(self):
        form = {
            "grant_type": "client_credentials",
            "client_id": self.live.stack.client["client_id"],
            "client_secret": WRONG_SECRET,
        }
        body = urllib.parse.urlencode(form).encode()
        kind = "application/x-www-form-urlencoded"
        status, _ = self.send("POST", "/oauth/token", body, Content_Type=kind, Authorization="")
        assert status == 401

    def be_refused_by_a_lock(self):
        """PostgreSQL logs a statement that fails with all its values."""
        with psycopg.connect(self.live.database_url) as connection:
            connection.execute("LOCK TABLE jobs_document IN ACCESS EXCLUSIVE MODE")
            body = json.dumps({"guideline_text": GUIDELINE}).encode()
            status, _ = self.send("POST", "/jobs", body)
        assert status == 503

    def look_as_staff(self, event_ids):
        """The pages of the admin, after a password that is wrong and then the right one."""
        browser, staff = Browser(self.live.url), self.live.stack.staff

        def get(path):
            status, where, text = browser.get(path)
            assert (status, where) == (200, path)
            self.pages[path] = text.encode()
            return text

        def send(path, **fields):
            self.pages[f"{path} #{len(self.pages)}"] = browser.send(path, **fields)[2].encode()

        for password in (WRONG_PASSWORD, staff["password"]):
            send("/accounts/login/", login=staff["email"], password=password)
        send("/accounts/2fa/authenticate/", code=new_code(staff))
        listed = get("/admin/jobs/job/")
        jobs = [str(row["event_id"]) for row in self.live.rows("SELECT event_id FROM jobs_job")]
        assert sorted(jobs) == sorted(event_ids)
        assert event_ids[0] in listed
        for event_id in event_ids:
            get(f"/admin/jobs/job/{event_id}/")
        for row in self.live.rows("SELECT id FROM tenants_tenant"):
            get(f"/admin/tenants/tenant/{row['id']}/")
        for page in (
            "/admin/",
            "/admin/jobs/errors/",
            "/admin/circuits/",
            "/admin/tenants/",
            "/admin/tenants/audit/",
            "/admin/people/",
            "/admin/plans/",
            "/admin/records/",
            "/admin/django_celery_results/taskresult/",
            "/admin/tenants/apikey/",
        ):
            get(page)
        for model, table in (
            ("django_celery_results/taskresult", "django_celery_results_taskresult"),
            ("tenants/apikey", "tenants_apikey"),
        ):
            for row in self.live.rows(f"SELECT id FROM {table}"):
                get(f"/admin/{model}/{row['id']}/change/")


def _with_a_message(redis_url):
    """What Redis holds, once a wake-up is there: a thread of the web process sends it."""
    held = canaries.redis_contents(redis_url)
    return held if b"jobs.tasks.process_guideline_job" in held else None


@pytest.fixture(scope="module")
def found_in(live):
    """Places and what they hold, once everything was done: {kind: {place: bytes}}."""
    abuse = Abuse(live)
    with live.without("worker"):
        done = abuse.submit(GUIDELINE)
        queued = live.until(lambda: _with_a_message(live.stack.redis_url))
    live.wait_for(done, "COMPLETED")
    echoed = abuse.submit(f"{GUIDELINE} please-echo")
    assert live.wait_for(echoed, "FAILED")["error"]["code"] == "llm_bad_request"
    babbled = abuse.submit(f"{GUIDELINE} please-babble")
    live.wait_for(babbled, "FAILED")
    cancelled = abuse.submit(f"{GUIDELINE} please-wait")
    assert Gossip.waiting.wait(20)
    abuse.send("POST", f"/jobs/{cancelled}/cancel")
    live.wait_for(cancelled, "CANCELLED")
    deleted = abuse.submit(f"Staff MUST heed the {GONE}. {WORD}", metadata={"ward": GONE})
    live.wait_for(deleted, "COMPLETED")
    assert abuse.send("DELETE", f"/jobs/{deleted}")[0] == 204
    assert abuse.send("GET", f"/jobs/{deleted}")[0] == 404
    abuse.be_refused()
    abuse.be_refused_by_a_lock()
    event_ids = [done, echoed, babbled, cancelled, deleted]
    abuse.look_as_staff(event_ids)
    live.until(lambda: live.rows("SELECT 1 FROM django_celery_results_taskresult"))
    home = live.stack.home
    return {
        "dump": {"dump": canaries.dump(live.database_url)},
        "logs": canaries.files_below(home / "log"),
        "redis": {
            "while a message waits": queued,
            "at the end": canaries.redis_contents(live.stack.redis_url),
            **canaries.files_below(home / "valkey"),
        },
        "pages": abuse.pages,
        "problems": abuse.problems,
    }


@pytest.fixture(scope="module")
def secret(live):
    """Every secret that there is, by name."""
    made = live.stack.secrets
    (signing,) = live.rows("SELECT kid, private_key FROM accounts_signingkey")
    context = f"accounts_signingkey.private_key:{signing['kid']}"
    pem = KeyRing(made["ENCRYPTION_KEYS"]).unseal(bytes(signing["private_key"]), context)
    return {
        "provider key": PROVIDER_KEY,
        "client secret": live.stack.client["client_secret"],
        "wrong client secret": WRONG_SECRET,
        "wrong password": WRONG_PASSWORD,
        "access token": live.token(),
        "signature of the access token": live.token().rpartition(".")[2],
        "signing key": pem.decode().splitlines()[1],
        "encryption key": made["ENCRYPTION_KEYS"].partition(":")[2],
        "encryption key, raw": base64.b64decode(made["ENCRYPTION_KEYS"].partition(":")[2]).hex(),
        **{name: value for name, value in made.items() if name not in OF_ANOTHER_FORM},
    }


OF_ANOTHER_FORM = {"ENCRYPTION_KEYS"}
# Of Valkey's own configuration, which has to hold it and is for its account's eyes only.
ALLOWED = {Trace("valkey.conf", "VALKEY_PASSWORD", "clear")}
PLACES = ["dump", "logs", "redis", "pages", "problems"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", PLACES)
def test_no_secret_is_found_there(found_in, secret, kind):
    found = [t for place, held in found_in[kind].items() for t in traces(place, held, secret)]

    assert set(found) - ALLOWED == set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["dump", "logs", "redis", "problems"])
def test_no_word_of_a_guideline_is_found_there(found_in, kind):
    words = {"guideline": WORD, "deleted guideline": GONE}

    found = [t for place, held in found_in[kind].items() for t in traces(place, held, words)]

    assert found == []


@pytest.mark.timeout(300)
def test_staff_see_no_guideline_before_they_give_a_reason(found_in):
    pages = found_in["pages"]

    assert any(page.startswith("/admin/") for page in pages)
    assert not [page for page, html in pages.items() if WORD.encode() in html]
    assert not [page for page, html in pages.items() if GONE.encode() in html]


@pytest.mark.timeout(300)
def test_the_search_looked_where_it_says(found_in):
    """What may be there is there: a dump, logs and pages that are empty would pass anything."""
    title = {"title": TITLE}
    assert traces("dump", found_in["dump"]["dump"], title)
    assert traces("list", found_in["pages"]["/admin/jobs/job/"], title)
    logs = found_in["logs"]
    assert {"postgresql.log", "web.log", "worker.log", "maintenance.log", "beat.log"} <= set(logs)
    assert b"job_completed" in logs["worker.log"]
    assert b"INSERT INTO" in logs["postgresql.log"]  # the statement that was refused by a lock
    redis_held = found_in["redis"]
    assert b"jobs.tasks.process_guideline_job" in redis_held["while a message waits"]
    assert any(name.startswith("appendonlydir/") for name in redis_held)
    assert len(found_in["problems"]) >= 15


@pytest.mark.timeout(300)
def test_what_is_planted_is_found(live, found_in):
    """The same search, of the same places, with something to find."""
    planted = f"planted{secrets.token_hex(8)}"
    with psycopg.connect(live.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE planted (words text, bytes bytea, packed bytea)")
        connection.execute(
            "INSERT INTO planted VALUES (%s, %s, %s)",
            [planted, planted.upper().encode() * 2, zlib.compress(planted.encode() * 9)],
        )
        dumped = canaries.dump(live.database_url)
        connection.execute("DROP TABLE planted")
    server = redis.Redis.from_url(live.stack.redis_url)
    server.rpush("planted", planted)
    held = canaries.redis_contents(live.stack.redis_url)
    server.delete("planted")
    with (live.stack.home / "log" / "planted.log").open("w") as file:
        file.write(base64.b64encode(planted.encode() * 2).decode())
    logs = canaries.files_below(live.stack.home / "log")
    files = canaries.files_below(live.stack.home / "valkey")

    def forms(place):
        return {trace.form for trace in traces("there", place, {"planted": planted})}

    assert forms(dumped) >= {"clear", "bytea", "zlib"}
    assert forms(held) == {"clear"}
    assert forms(logs["planted.log"]) == {"base64"}
    assert "clear" in set().union(*map(forms, files.values()))
