"""What stands on every answer, and what on none."""

import itertools

import pytest
from django.test import Client, RequestFactory, override_settings

from config.headers import HeadersMiddleware
from tests.config.test_problems import check_problem

PAGE_POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "font-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "object-src 'none'",
}
DATA_POLICY = {"default-src 'none'", "frame-ancestors 'none'"}
PAGES = ["/docs", "/docs/errors", "/admin/", "/admin/nowhere/", "/accounts/login/"]
DATA = [
    "/healthz",
    "/jobs",
    "/nowhere",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/static/guidepost/icon.svg",
    "/static/guidepost/page.css",
]
FORBIDDEN = {
    "Server",
    "X-Powered-By",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
}
SECURE = {"secure": True, "HTTP_HOST": "testserver"}


@pytest.fixture
def browser(db):
    return Client(raise_request_exception=False)


def check_headers(response, policy):
    assert set(response.headers["Content-Security-Policy"].split("; ")) == policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert not FORBIDDEN & set(response.headers)


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_only_what_is_ours(browser, path):
    response = browser.get(path)

    check_headers(response, PAGE_POLICY)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", DATA)
def test_what_is_no_page_loads_nothing(browser, path):
    check_headers(browser.get(path), DATA_POLICY)


def answers(browser, monkeypatch, settings):
    """(status, answer) of every way in which a request can go wrong."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    json = {"content_type": "application/json"}
    yield 302, browser.get("/")
    yield 400, browser.get("/healthz", HTTP_HOST="evil.example")
    yield 400, browser.post("/oauth/token", "{", **json)
    yield 401, browser.get("/jobs")
    yield 403, Client(enforce_csrf_checks=True).post("/admin/logout/")
    yield 404, browser.get("/nowhere")
    yield 404, browser.get("/static/nowhere.css")
    yield 404, browser.get("/.well-known/nowhere")
    yield 405, browser.put("/healthz")
    yield 413, browser.post("/oauth/token", b"[" + b" " * 200, **json)
    yield 415, browser.post("/oauth/token", "x", content_type="text/plain")

    def broken(*args, **kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("config.health.HealthView.get", broken)
    monkeypatch.setattr("config.views.PublicView.dispatch", broken)
    yield 500, browser.get("/healthz")


def test_errors_and_redirects_have_them_too(browser, monkeypatch, settings):
    for status, response in answers(browser, monkeypatch, settings):
        assert response.status_code == status
        page = response.headers["Content-Type"].startswith("text/html")
        check_headers(response, PAGE_POLICY if page else DATA_POLICY)
        assert response.headers["Cache-Control"] == "no-store", response.request["PATH_INFO"]
        assert "secret detail" not in response.text
        assert "X-Request-ID" in response.headers


def test_only_what_is_the_same_for_everybody_may_be_kept(browser):
    kept = ["/static/guidepost/page.css", "/.well-known/jwks.json"]

    for path in kept:
        assert "no-store" not in browser.get(path).headers["Cache-Control"]
    for path in ("/healthz", "/readyz", "/docs", "/jobs"):
        assert browser.get(path).headers["Cache-Control"] == "no-store"


@override_settings(HTTPS=True, SECURE_HSTS_SECONDS=31_536_000, SECURE_HSTS_INCLUDE_SUBDOMAINS=True)
def test_over_tls_browsers_are_told_to_stay_there(browser):
    expected = "max-age=31536000; includeSubDomains"

    for path in ("/healthz", "/nowhere", "/docs", "/static/guidepost/page.css"):
        assert browser.get(path, **SECURE).headers["Strict-Transport-Security"] == expected
    evil = browser.get("/healthz", secure=True, HTTP_HOST="evil.example")
    assert evil.headers["Strict-Transport-Security"] == expected
    assert "Strict-Transport-Security" not in browser.get("/healthz").headers


def test_a_header_of_the_view_does_not_weaken_ours():
    def view(request):
        from django.http import HttpResponse

        weaker = {"Cross-Origin-Opener-Policy": "unsafe-none", "Cache-Control": "public"}
        return HttpResponse("x", headers=weaker)

    response = HeadersMiddleware(view)(RequestFactory().get("/jobs"))

    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Cache-Control"] == "no-store"


# --- CORS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "method"),
    list(
        itertools.product(
            [
                "https://evil.example",
                "null",
                "http://evil.testserver",
                "http://testserver.evil.example",
            ],
            ["get", "options", "post"],
        )
    ),
)
def test_no_other_site_may_read_our_answers(browser, origin, method):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Cookie": "session=x"}

    for path in ("/jobs", "/oauth/token", "/healthz", "/accounts/login/"):
        response = getattr(browser, method)(path, headers=asked)
        assert not FORBIDDEN & set(response.headers)
        assert "Origin" not in response.headers.get("Vary", "")


def test_the_api_takes_no_cookie(admin_client):
    check_problem(admin_client.get("/jobs"), 401, "token_missing")


# --- Whom the request is addressed to ------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "testserver.evil.example",
        "testserver:evil",
        "testserver@evil.example",
        "testserver, evil.example",
        "testserver/",
        "testserver evil.example",
        "",
    ],
)
@pytest.mark.parametrize(
    "path", ["/healthz", "/admin/", "/accounts/password/reset/", "/static/guidepost/page.css"]
)
def test_another_host_is_refused_before_anything_is_done(browser, path, host):
    check_problem(browser.get(path, HTTP_HOST=host), 400, "bad_request")


@override_settings(
    HTTPS=True,
    PUBLIC_URL="https://guidepost.example",
    ALLOWED_HOSTS=["guidepost.example", "10.0.0.7"],
)
def test_on_a_public_server_our_name_comes_with_our_port(browser):
    def status(host):
        return browser.get("/healthz", secure=True, HTTP_HOST=host).status_code

    assert [status("guidepost.example"), status("guidepost.example:443")] == [200, 200]
    assert status("10.0.0.7:8000") == 200  # a probe from next door
    assert [status("guidepost.example:80"), status("guidepost.example:8443")] == [400, 400]


def test_a_whole_address_in_the_request_line_is_refused(browser):
    check_problem(
        browser.get("/healthz", PATH_INFO="http://evil.example/healthz"), 400, "bad_request"
    )


def test_what_a_stranger_says_was_forwarded_is_ignored(browser):
    said = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "Forwarded": "host=evil.example;proto=https",
    }

    response = browser.get("/admin/", headers=said)

    assert response.status_code == 302
    assert "evil.example" not in str(response.headers)
    assert response.wsgi_request.scheme == "http"


# --- Forms from elsewhere ------------------------------------------------------------------------


@pytest.fixture
def careful(db):
    """A browser with a valid token, whose forms are checked."""
    client = Client(enforce_csrf_checks=True)
    token = client.get("/accounts/login/").context["csrf_token"]
    return client, {"csrfmiddlewaretoken": str(token), "login": "a@example.com", "password": "x"}


def test_a_form_of_our_own_page_is_taken(careful):
    client, form = careful

    sent = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}

    assert client.post("/accounts/login/", form, headers=sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
    ],
)
def test_a_form_from_elsewhere_is_403_even_with_a_token(careful, headers):
    client, form = careful

    response = client.post("/accounts/login/", form, headers=headers)

    assert response.status_code == 403
    assert "did not come from our page" in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/login/",
        "/accounts/logout/",
        "/accounts/password/reset/",
        "/accounts/2fa/authenticate/",
        "/admin/logout/",
        "/admin/jobs/job/",
    ],
)
def test_a_form_without_a_token_is_403(db, path):
    response = Client(enforce_csrf_checks=True).post(path, {"login": "a@example.com"})

    assert response.status_code == 403


def test_a_token_of_another_browser_is_403(careful):
    _, form = careful

    assert Client(enforce_csrf_checks=True).post("/accounts/login/", form).status_code == 403


# --- What is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/api-auth/login/", "/.git/config", "/.env", "/metrics", "/schema", "/silk/", "/__debug__/"],
)
def test_what_others_forget_to_close_is_not_there(browser, path):
    check_problem(browser.get(path), 404, "not_found")


def test_a_browser_gets_json_from_the_api_and_no_form_to_try_it(browser):
    response = browser.get("/jobs", headers={"Accept": "text/html"})

    assert response.headers["Content-Type"] == "application/problem+json"
