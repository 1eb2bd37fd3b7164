"""API keys: GET and POST /keys, PATCH, rotate, revoke; and what each does to their secrets."""

import hmac
import json
import re
from datetime import timedelta

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.isolation import DatabaseRole, acting_as
from tenants import digests
from tenants.models import ApiKey, AuditEntry, Invitation, Role, Scope
from tenants.services import invitations, keys
from tests.callers import client_as, client_of, key, member_of
from tests.config.test_problems import check_problem
from tests.factories import ApiKeyFactory, TenantFactory

ADDRESS = "198.51.100.7"


@pytest.fixture
def owner(tenant):
    return client_of(member_of(tenant, Role.OWNER))


def make(client, **fields):
    body = {"name": "Intranet", "scopes": ["jobs:read"]} | fields
    return client.post("/keys", body, format="json")


def stored(client_id):
    return ApiKey.objects.across_tenants().get(client_id=client_id)


def buys(new_or_body, secret=None):
    """Whether the key's secret, or another one, buys a token now."""
    is_body = isinstance(new_or_body, dict)
    client_id = new_or_body["client_id"] if is_body else new_or_body.key.client_id
    secret = secret or (new_or_body["client_secret"] if is_body else new_or_body.client_secret)
    try:
        keys.authenticate_client(client_id, secret, address=ADDRESS)
    except keys.InvalidClient:
        return False
    return True


def audited():
    entries = AuditEntry.objects.across_tenants().order_by("id")
    return list(entries.filter(object_type="key").values_list("action", "after"))


# --- The secret ----------------------------------------------------------------------------------


def test_a_secret_is_256_random_bits_with_a_checksum():
    secrets = {keys.new_secret() for _ in range(200)}

    assert len(secrets) == 200
    assert all(re.fullmatch("gps_[0-9A-Za-z]{49}", secret) for secret in secrets)
    assert all(keys.is_well_formed(secret) for secret in secrets)
    assert 62**keys.RANDOM > 2**256


def test_the_checksum_is_a_crc32_that_others_can_recompute():
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    number = 0
    for digit in keys.checksum("123456789"):
        number = number * 62 + digits.index(digit)

    assert number == 0xCBF43926  # the check value that every description of CRC-32 gives
    assert keys.checksum("") == "000000"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s[:10] + ("A" if s[10] != "A" else "B") + s[11:],
        lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"),
        lambda s: s[:20] + s[21] + s[20] + s[22:] if s[20] != s[21] else s[:-1],
        lambda s: s[:-1],
        lambda s: s + "0",
        lambda s: s + "\n",
        lambda s: "gpx_" + s[4:],
        lambda s: "",
        lambda s: s.replace(s[8], "é"),
        lambda s: "x" * 100_000,
    ],
)
def test_a_secret_with_a_wrong_checksum_is_refused_without_a_query(
    db, spoil, django_assert_num_queries
):
    new = ApiKeyFactory()

    with django_assert_num_queries(0), pytest.raises(keys.InvalidClient):
        keys.authenticate_client(new.key.client_id, spoil(new.client_secret), address=ADDRESS)


def test_an_unknown_client_costs_the_same_statements_and_digests_as_a_wrong_secret(db, monkeypatch):
    new, work = ApiKeyFactory(), []

    def counted(name, function):
        return lambda *args: (work.append((name, *map(len, args))), function(*args))[1]

    monkeypatch.setattr(keys, "secret_digest", counted("digest", digests.secret_digest))
    monkeypatch.setattr(hmac, "compare_digest", counted("compare", hmac.compare_digest))

    def tried(client_id):
        work.clear()
        with CaptureQueriesContext(connection) as queries, pytest.raises(keys.InvalidClient):
            keys.authenticate_client(client_id, keys.new_secret(), address=ADDRESS)
        same = [query["sql"].replace(client_id, "ID") for query in queries]
        return same, list(work)

    unknown = tried("gpc_" + "0" * 24)
    wrong = tried(new.key.client_id)
    keys.rotate_key(
        tenant_id=new.key.tenant_id,
        client_id=new.key.client_id,
        held=list(Scope),
        overlap=timedelta(days=1),
    )
    overlapping = tried(new.key.client_id)

    assert unknown == wrong == overlapping
    assert len(unknown[0]) == 1
    assert unknown[1] == [("digest", 53), ("compare", 64, 64), ("compare", 64, 64)]


def test_a_client_id_that_is_no_text_of_postgresqls_is_an_unknown_one(db):
    with pytest.raises(keys.InvalidClient):
        keys.authenticate_client("gpc_\x00", keys.new_secret(), address=ADDRESS)


def test_the_digest_is_worth_nothing_without_the_pepper(db, settings):
    new = ApiKeyFactory()
    assert buys(new)

    settings.API_KEY_PEPPER = "another pepper, of another installation, at least"

    assert not buys(new)


# --- Making --------------------------------------------------------------------------------------


def test_a_new_key_shows_its_secret_once_and_nobody_keeps_it(owner, tenant, caplog):
    response = make(
        owner,
        scopes=["jobs:submit", "jobs:read", "jobs:read"],
        expires_at="2099-01-01T00:00:00Z",
        allowed_networks=["192.0.2.0/24", "::ffff:10.0.0.0/104", "2001:DB8::/32"],
    )

    body = response.json()
    client_id, secret = body["client_id"], body["client_secret"]
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Location"] == f"/keys/{client_id}"
    assert body["scopes"] == ["jobs:read", "jobs:submit"]
    assert body["allowed_networks"] == ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
    assert (body["status"], body["expires_at"]) == ("active", "2099-01-01T00:00:00Z")
    later = [owner.get(f"/keys/{client_id}"), owner.get("/keys"), owner.patch(f"/keys/{client_id}")]
    assert [answer.status_code for answer in later] == [200, 200, 200]
    rows = json.dumps([later[0].json(), later[1].json(), later[2].json()])
    rows += str(list(ApiKey.objects.across_tenants().values()))
    rows += str(list(AuditEntry.objects.across_tenants().values()))
    rows += str([record.__dict__ for record in caplog.records])
    assert client_id in rows
    assert secret not in rows
    assert stored(client_id).digest not in json.dumps([a.json() for a in later])


def test_the_secret_buys_a_token_with_the_keys_scopes(owner, client):
    new = make(owner, scopes=["jobs:read"]).json()

    fields = {"grant_type": "client_credentials"}
    fields |= {name: new[name] for name in ("client_id", "client_secret")}
    response = client.post("/oauth/token", fields, content_type="application/json")

    assert response.json()["scope"] == "jobs:read"


def test_making_is_audited_with_its_maker_and_without_the_secret(tenant):
    member = member_of(tenant)

    new = make(client_of(member)).json()

    entry = AuditEntry.objects.across_tenants().get(action="key.created")
    assert (entry.actor, entry.object_id) == (member.user.email, new["client_id"])
    assert entry.after == {
        "name": "Intranet",
        "scopes": ["jobs:read"],
        "expires_at": None,
        "allowed_networks": [],
    }
    assert stored(new["client_id"]).created_by == member.user


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["jobs:everything"]}, "/scopes/0"),
        ({"scopes": "jobs:read"}, "/scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "soon"}, "/expires_at"),
        ({"allowed_networks": ["192.0.2.1/24"]}, "/allowed_networks/0"),
        ({"allowed_networks": ["example.com"]}, "/allowed_networks/0"),
        ({"allowed_networks": [7]}, "/allowed_networks/0"),
        ({"allowed_networks": ["192.0.2.1"] * 51}, "/allowed_networks"),
        ({"tenant": "x"}, "/tenant"),
        ({"digest": "0" * 64}, "/digest"),
        ({"client_id": "gpc_mine"}, "/client_id"),
        ({"revoked_at": None}, "/revoked_at"),
    ],
)
def test_a_field_that_will_not_do_is_named_and_no_key_is_made(owner, fields, pointer):
    body = check_problem(make(owner, **fields), 422, "invalid_fields")

    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert ApiKey.objects.across_tenants().count() == 0


# --- Nobody gives more than they have (row 54) ---------------------------------------------------


def test_a_key_makes_no_key_with_more_scopes_than_its_own(tenant, client_for):
    small = client_for(tenant, [Scope.KEYS_MANAGE, Scope.JOBS_READ])

    body = check_problem(
        make(small, scopes=["jobs:read", "jobs:submit"]), 403, "insufficient_scope"
    )

    assert "jobs:submit" in body["detail"]
    assert ApiKey.objects.across_tenants().count() == 1
    assert make(small, scopes=["jobs:read", "keys:manage"]).status_code == 201


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_no_key_manages_members_whoever_makes_it(tenant, role):
    body = check_problem(
        make(client_of(member_of(tenant, role)), scopes=["members:manage"]),
        403,
        "insufficient_scope",
    )

    assert "members:manage" in body["detail"]
    assert ApiKey.objects.across_tenants().count() == 0


def test_the_database_refuses_a_key_that_manages_members(tenant):
    with pytest.raises(IntegrityError, match="api_key_has_no_scope_of_people_alone"):
        ApiKey.objects.create(
            tenant=tenant,
            client_id="gpc_1",
            digest="0" * 64,
            name="x",
            scopes=[Scope.JOBS_READ, Scope.MEMBERS_MANAGE],
        )


def test_a_key_gets_no_secret_of_a_key_with_more_scopes_and_does_not_change_it(tenant, client_for):
    big = ApiKeyFactory(tenant=tenant)
    before = stored(big.key.client_id).__dict__
    small = client_for(tenant, [Scope.KEYS_MANAGE])
    path = f"/keys/{big.key.client_id}"

    refused = [
        small.post(f"{path}/rotate"),
        small.patch(path, {"name": "mine"}, format="json"),
        small.patch(path, {"allowed_networks": []}, format="json"),
    ]

    for response in refused:
        check_problem(response, 403, "insufficient_scope")
    assert {**stored(big.key.client_id).__dict__, "_state": 0} == {**before, "_state": 0}
    assert buys(big)


def test_a_key_does_not_give_itself_more_scopes(tenant, client_for):
    mine = ApiKeyFactory(tenant=tenant, scopes=[Scope.KEYS_MANAGE])
    me = client_for(tenant, [Scope.KEYS_MANAGE], subject=mine.key.client_id)

    response = me.patch(
        f"/keys/{mine.key.client_id}", {"scopes": ["keys:manage", "jobs:read"]}, format="json"
    )

    check_problem(response, 403, "insufficient_scope")
    assert stored(mine.key.client_id).scopes == ["keys:manage"]


# --- Nor loses what binds them -------------------------------------------------------------------


@pytest.fixture
def bound(tenant, client_for):
    """A key that manages keys until an hour from now, from two networks; and a client with its
    token, which calls from one of them."""
    new = ApiKeyFactory(
        tenant=tenant,
        expires_at=timezone.now() + timedelta(hours=1),
        allowed_networks=["127.0.0.0/8", "2001:db8::/32"],
    )
    client = client_for(tenant, subject=new.key.client_id)
    client.key = stored(new.key.client_id)
    return client


def within(bound, **fields):
    """Fields of a key that is bound as the caller is."""
    return {
        "expires_at": bound.key.expires_at.isoformat(),
        "allowed_networks": ["127.0.0.1/32", "2001:db8:7::/48"],
    } | fields


BEYOND = [
    ({"expires_at": None}, "expires_at"),
    ({"expires_at": "2099-01-01T00:00:00Z"}, "expires_at"),
    ({"allowed_networks": []}, "allowed_networks"),
    ({"allowed_networks": ["127.0.0.1/32", "126.0.0.0/7"]}, "allowed_networks"),
    ({"allowed_networks": ["::/0"]}, "allowed_networks"),
    ({"allowed_networks": ["192.0.2.0/24"]}, "allowed_networks"),
]


@pytest.mark.parametrize(("fields", "named"), BEYOND, ids=str)
def test_a_bound_key_makes_no_key_that_is_bound_less(bound, fields, named):
    response = make(bound, **within(bound, **fields))

    body = check_problem(response, 403, "bound_key")
    assert f"`{named}`" in body["detail"]
    assert ApiKey.objects.across_tenants().count() == 1


@pytest.mark.parametrize("left_out", ["expires_at", "allowed_networks"])
def test_a_bound_key_makes_no_key_that_is_not_bound_at_all(bound, left_out):
    fields = within(bound)
    del fields[left_out]

    check_problem(make(bound, **fields), 403, "bound_key")

    assert ApiKey.objects.across_tenants().count() == 1


@pytest.mark.parametrize(("fields", "named"), BEYOND, ids=str)
def test_a_bound_key_takes_nothing_off_itself_or_another(bound, tenant, fields, named):
    other = make(bound, **within(bound)).json()["client_id"]
    before = [stored(bound.key.client_id).__dict__, stored(other).__dict__]

    for client_id in (bound.key.client_id, other):
        response = bound.patch(f"/keys/{client_id}", fields, format="json")
        assert f"`{named}`" in check_problem(response, 403, "bound_key")["detail"]

    after = [stored(bound.key.client_id).__dict__, stored(other).__dict__]
    assert [{**a, "_state": 0} for a in after] == [{**b, "_state": 0} for b in before]


def test_a_bound_key_gets_no_secret_of_a_key_that_is_bound_less(bound, tenant):
    free = ApiKeyFactory(tenant=tenant)
    path = f"/keys/{free.key.client_id}"

    check_problem(bound.post(f"{path}/rotate"), 403, "bound_key")
    check_problem(bound.patch(path, {"name": "mine"}, format="json"), 403, "bound_key")

    assert buys(free)
    assert stored(free.key.client_id).name == "Integration"


def test_a_bound_key_does_all_else_with_keys_that_are_bound_as_it_is(bound):
    made = make(bound, **within(bound))
    path = f"/keys/{made.json()['client_id']}"
    sooner = (timezone.now() + timedelta(minutes=5)).isoformat()

    answers = [
        bound.patch(path, {"expires_at": sooner, "name": "Ward 7"}, format="json"),
        bound.patch(path, {"allowed_networks": ["127.0.0.7/32"]}, format="json"),
        bound.post(f"{path}/rotate"),
        bound.post(f"/keys/{bound.key.client_id}/rotate"),
        bound.post(f"{path}/revoke"),
    ]

    assert [made.status_code, *(answer.status_code for answer in answers)] == [201] + [200] * 5


def test_a_bound_key_may_end_a_key_that_is_bound_less(bound, tenant):
    free = ApiKeyFactory(tenant=tenant)

    assert bound.post(f"/keys/{free.key.client_id}/revoke").json()["status"] == "revoked"


def test_a_key_that_is_bound_in_one_way_is_free_in_the_other(tenant, client_for):
    short = ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(hours=1))
    local = ApiKeyFactory(tenant=tenant, allowed_networks=["127.0.0.0/8"])
    until, there = short.key.expires_at.isoformat(), ["127.0.0.1/32"]

    made = [
        make(client_for(tenant, subject=short.key.client_id), expires_at=until),
        make(client_for(tenant, subject=local.key.client_id), allowed_networks=there),
    ]

    assert [response.status_code for response in made] == [201, 201]


def test_people_and_keys_that_are_not_bound_lift_what_binds_a_key(bound, owner, tenant, client_for):
    path = f"/keys/{bound.key.client_id}"
    free = client_for(tenant, subject=ApiKeyFactory(tenant=tenant).key.client_id)

    answers = [
        owner.patch(path, {"expires_at": None}, format="json"),
        free.patch(path, {"allowed_networks": []}, format="json"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (stored(bound.key.client_id).expires_at, answers[1].json()["allowed_networks"]) == (
        None,
        [],
    )


def test_whoever_manages_keys_may_end_any_key(tenant):
    big = ApiKeyFactory(tenant=tenant)

    response = client_as(key(tenant, [Scope.KEYS_MANAGE])).post(f"/keys/{big.key.client_id}/revoke")

    assert response.json()["status"] == "revoked"


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/keys"),
        ("post", "/keys"),
        ("get", "/keys/{}"),
        ("patch", "/keys/{}"),
        ("post", "/keys/{}/rotate"),
        ("post", "/keys/{}/revoke"),
    ],
)
def test_members_and_viewers_have_nothing_to_do_with_keys(tenant, role, method, path):
    new = ApiKeyFactory(tenant=tenant)
    client = client_of(member_of(tenant, role))

    response = getattr(client, method)(path.format(new.key.client_id))

    check_problem(response, 403, "insufficient_scope")
    assert buys(new)


# --- Reading and changing ------------------------------------------------------------------------


def test_pages_of_keys_follow_each_other_newest_first_and_hold_only_ones_own(owner, tenant):
    made = [ApiKeyFactory(tenant=tenant).key.client_id for _ in range(5)]
    ApiKeyFactory()

    seen, path = [], "/keys?limit=2"
    while path:
        answer = owner.get(path).json()
        seen += [each["client_id"] for each in answer["data"]]
        path = answer["next"]

    assert seen == made[::-1]


def test_a_cursor_of_another_tenant_is_as_unknown_as_one_that_never_was(owner):
    theirs = ApiKeyFactory().key.client_id

    foreign, absent = owner.get(f"/keys?cursor={theirs}"), owner.get("/keys?cursor=gpc_no")

    check_problem(foreign, 400, "invalid_cursor")
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/keys/{}"),
        ("patch", "/keys/{}"),
        ("post", "/keys/{}/rotate"),
        ("post", "/keys/{}/revoke"),
    ],
)
def test_the_key_of_another_tenant_is_as_absent_as_one_that_never_was(owner, method, path):
    theirs = ApiKeyFactory()

    foreign = getattr(owner, method)(path.format(theirs.key.client_id))
    absent = getattr(owner, method)(path.format("gpc_" + "0" * 24))

    check_problem(foreign, 404, "not_found")
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    assert buys(theirs)


def test_a_change_is_applied_and_audited_field_by_field(owner, tenant):
    new = ApiKeyFactory(tenant=tenant)
    path = f"/keys/{new.key.client_id}"

    changed = owner.patch(path, {"scopes": ["jobs:read"], "name": "Integration"}, format="json")
    owner.patch(path, {"name": "Integration"}, format="json")

    assert changed.json()["scopes"] == ["jobs:read"]
    assert [entry for entry in audited() if entry[0] == "key.changed"] == [
        ("key.changed", {"scopes": ["jobs:read"]})
    ]


def test_an_expiry_may_be_taken_off_again(owner, tenant):
    new = ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(days=1))

    answer = owner.patch(f"/keys/{new.key.client_id}", {"expires_at": None}, format="json").json()

    assert answer["expires_at"] is None


@pytest.mark.parametrize("end", ["expire", "revoke"])
def test_a_key_that_has_ended_cannot_come_back(owner, tenant, end):
    new = ApiKeyFactory(tenant=tenant)
    if end == "expire":
        ApiKey.objects.across_tenants().update(expires_at=timezone.now())
    else:
        keys.revoke_api_key(new.key)
    path = f"/keys/{new.key.client_id}"

    extended = owner.patch(path, {"expires_at": None}, format="json")
    rotated = owner.post(f"{path}/rotate")

    check_problem(extended, 409, "key_ended")
    check_problem(rotated, 409, "key_ended")
    assert not buys(new)


# --- Rotating (row 28) ---------------------------------------------------------------------------


def rotate(client, new, **body):
    path = f"/keys/{new.key.client_id}/rotate"
    return client.post(path, body, format="json") if body else client.post(path)


def test_a_rotation_keeps_the_client_id_and_ends_the_old_secret_at_once(owner, tenant):
    new = ApiKeyFactory(tenant=tenant)

    response = rotate(owner, new)

    body = response.json()
    assert response.headers["Cache-Control"] == "no-store"
    assert body["client_id"] == new.key.client_id
    assert body["previous_secret_until"] is None
    assert buys(body)
    assert not buys(new)


def test_during_the_overlap_both_secrets_work_and_afterwards_only_the_new(owner, tenant, caplog):
    new = ApiKeyFactory(tenant=tenant)

    body = rotate(owner, new, overlap_minutes=10).json()

    until = stored(new.key.client_id).previous_until
    assert body["previous_secret_until"] == until.isoformat().replace("+00:00", "Z")
    assert abs(until - timezone.now() - timedelta(minutes=10)) < timedelta(seconds=30)
    assert buys(new)
    assert buys(body)
    ApiKey.objects.across_tenants().update(previous_until=timezone.now())
    assert not buys(new)
    assert buys(body)


def test_rotating_again_ends_the_overlap_of_the_secret_before_the_last(owner, tenant):
    first = ApiKeyFactory(tenant=tenant)
    second = rotate(owner, first, overlap_minutes=10_080).json()

    third = rotate(owner, first, overlap_minutes=10).json()

    assert [buys(each) for each in (first, second, third)] == [False, True, True]
    rotate(owner, first, overlap_minutes=0)
    assert [buys(each) for each in (first, second, third)] == [False, False, False]


@pytest.mark.parametrize("minutes", [-1, 10_081, "long", None])
def test_an_overlap_beyond_a_week_is_refused_and_changes_nothing(owner, tenant, minutes):
    new = ApiKeyFactory(tenant=tenant)

    check_problem(rotate(owner, new, overlap_minutes=minutes), 422, "invalid_fields")

    assert buys(new)


def test_an_old_secret_does_not_outlive_its_key(owner, tenant):
    new = ApiKeyFactory(tenant=tenant)
    body = rotate(owner, new, overlap_minutes=10).json()

    owner.post(f"/keys/{new.key.client_id}/revoke")

    assert not buys(new)
    assert not buys(body)


def test_rotating_is_audited_with_the_end_of_the_overlap(owner, tenant):
    new = ApiKeyFactory(tenant=tenant)

    rotate(owner, new, overlap_minutes=10)

    until = stored(new.key.client_id).previous_until
    assert audited()[-1] == ("key.rotated", {"previous_until": until.isoformat()})


# --- Revoking ------------------------------------------------------------------------------------


def test_revoking_is_at_once_and_the_second_time_changes_nothing(owner, tenant):
    new = ApiKeyFactory(tenant=tenant)
    path = f"/keys/{new.key.client_id}/revoke"

    first, second = owner.post(path), owner.post(path)

    assert first.json() == second.json()
    assert first.json()["status"] == "revoked"
    assert not buys(new)
    assert [action for action, _ in audited()] == ["key.created", "key.revoked"]


# --- Networks (rows 25 and 42) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.2.9", True),
        ("::ffff:192.0.2.9", True),
        ("192.0.3.9", False),
        ("2001:db8::9", True),
        ("2001:db9::9", False),
        ("", False),
    ],
)
def test_a_key_bound_to_networks_works_from_there_only(db, address, allowed):
    new = ApiKeyFactory(allowed_networks=["192.0.2.0/24", "2001:db8::/32"])

    assert keys.may_come_from(new.key, address) is allowed
    if allowed:
        keys.authenticate_client(new.key.client_id, new.client_secret, address=address)
    else:
        with pytest.raises(keys.InvalidClient):
            keys.authenticate_client(new.key.client_id, new.client_secret, address=address)


def test_a_key_without_networks_works_from_anywhere_even_unknown(db):
    assert keys.may_come_from(ApiKeyFactory().key, "")


def test_a_spoofed_header_gets_no_token_for_a_bound_key(client, db):
    new = ApiKeyFactory(allowed_networks=["192.0.2.0/24"])
    spoofs = {
        "HTTP_X_FORWARDED_FOR": "192.0.2.9",
        "HTTP_X_REAL_IP": "192.0.2.9",
        "HTTP_FORWARDED": "for=192.0.2.9",
    }

    response = token_request(client, new, REMOTE_ADDR="203.0.113.9", **spoofs)

    assert check_problem(response, 401, "invalid_client")["detail"] == keys.InvalidClient.detail


def test_behind_a_proxy_only_its_own_entry_gets_a_token(client, db, settings):
    settings.TRUSTED_PROXIES = 1
    new = ApiKeyFactory(allowed_networks=["192.0.2.0/24"])

    good = token_request(client, new, HTTP_X_FORWARDED_FOR="10.0.0.1, 192.0.2.9")
    spoofed = token_request(client, new, HTTP_X_FORWARDED_FOR="192.0.2.9, 203.0.113.9")

    assert (good.status_code, spoofed.status_code) == (200, 401)
    assert stored(new.key.client_id).last_used_address == "192.0.2.9"


def token_request(client, new, **headers):
    fields = {
        "grant_type": "client_credentials",
        "client_id": new.key.client_id,
        "client_secret": new.client_secret,
    }
    return client.post("/oauth/token", fields, content_type="application/json", **headers)


def test_a_limit_by_address_counts_a_caller_however_it_writes_its_headers(client, db, settings):
    settings.TOKEN_ATTEMPT_RATE = "2/m"
    new = ApiKeyFactory()

    statuses = [
        token_request(client, new, HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").status_code for n in range(3)
    ]

    assert statuses == [200, 200, 429]


def test_a_limit_by_address_counts_an_ipv6_subscriber_once(client, db, settings):
    settings.TOKEN_ATTEMPT_RATE = "2/m"
    new = ApiKeyFactory()

    statuses = [
        token_request(client, new, REMOTE_ADDR=f"2001:db8:0:1:{n}::1").status_code for n in range(3)
    ]

    assert statuses == [200, 200, 429]


def test_an_audit_entry_has_the_address_behind_the_trusted_proxy(owner, tenant, settings):
    settings.TRUSTED_PROXIES = 1

    owner.post(
        "/keys",
        {"name": "x", "scopes": ["jobs:read"]},
        format="json",
        HTTP_X_FORWARDED_FOR="10.0.0.1, ::ffff:192.0.2.9",
    )

    assert AuditEntry.objects.across_tenants().get(action="key.created").address == "192.0.2.9"


# --- The last use (row 28) -----------------------------------------------------------------------


def test_a_use_is_noted_with_its_address_at_most_once_a_minute(db):
    new = ApiKeyFactory()

    with CaptureQueriesContext(connection) as first:
        keys.authenticate_client(new.key.client_id, new.client_secret, address="192.0.2.1")
    noted = stored(new.key.client_id)
    with CaptureQueriesContext(connection) as second:
        keys.authenticate_client(new.key.client_id, new.client_secret, address="192.0.2.2")

    assert noted.last_used_address == "192.0.2.1"
    assert stored(new.key.client_id).last_used_at == noted.last_used_at
    assert (len(first), len(second)) == (2, 1)
    ApiKey.objects.across_tenants().update(last_used_at=timezone.now() - timedelta(seconds=61))
    keys.authenticate_client(new.key.client_id, new.client_secret, address="192.0.2.2")
    assert stored(new.key.client_id).last_used_address == "192.0.2.2"


@pytest.mark.django_db(transaction=True)
def test_noting_a_use_never_waits_for_a_lock_on_the_key(tenant):
    new = ApiKeyFactory(tenant=tenant)
    there = connection.get_connection_params()
    wanted = {k: there[k] for k in ("host", "port", "dbname", "user", "password")}

    with psycopg.connect(**wanted) as other:
        other.execute("SELECT FROM tenants_apikey WHERE id = %s FOR UPDATE", [new.key.pk])
        with acting_as(DatabaseRole.DOOR), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            keys.authenticate_client(new.key.client_id, new.client_secret, address=ADDRESS)

    assert stored(new.key.client_id).last_used_at is None


def test_a_refused_try_is_no_use(db):
    new = ApiKeyFactory()

    assert not buys(new, keys.new_secret())

    assert stored(new.key.client_id).last_used_at is None


def test_the_admin_shows_keys_and_invitations_without_their_digests(admin_client, tenant):
    new = ApiKeyFactory(tenant=tenant)
    rotated = keys.rotate_key(
        tenant_id=tenant.id,
        client_id=new.key.client_id,
        held=list(Scope),
        overlap=timedelta(days=1),
    )
    invitations.invite(
        tenant_id=tenant.id, by=member_of(tenant).user_id, email="b@example.com", role=Role.VIEWER
    )
    key, invitation = rotated.key, Invitation.objects.across_tenants().get()

    pages = admin_client.get(f"/admin/tenants/apikey/{key.pk}/change/").text
    pages += admin_client.get(f"/admin/tenants/invitation/{invitation.pk}/change/").text

    assert key.client_id in pages
    assert invitation.email in pages
    secrets = (key.digest, key.previous_digest, invitation.digest, rotated.client_secret)
    assert not [secret for secret in secrets if secret in pages]


# --- What the database lets each role do ---------------------------------------------------------


@pytest.mark.parametrize("column", ["digest", "previous_digest", "scopes", "last_used_address"])
def test_workers_read_no_digest_and_nothing_else_they_do_not_need(db, column):
    refused = pytest.raises(ProgrammingError, match="permission denied")

    with refused, acting_as(DatabaseRole.WORKER), connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM tenants_apikey")


def test_a_tenants_request_rotates_its_own_key_in_its_own_role_and_no_other(tenant):
    mine, theirs = ApiKeyFactory(tenant=tenant), ApiKeyFactory()

    with acting_as(DatabaseRole.API, tenant.id):
        assert keys.revoke_api_key(theirs.key) is False
        assert keys.revoke_api_key(mine.key) is True

    assert (buys(mine), buys(theirs)) == (False, True)


def test_a_tenants_request_makes_no_key_for_another_tenant(tenant):
    other = TenantFactory()
    refused = pytest.raises(ProgrammingError, match="row-level security")

    with acting_as(DatabaseRole.API, tenant.id):
        keys.issue_api_key(tenant=tenant, name="mine", scopes=[Scope.JOBS_READ])
    with refused, acting_as(DatabaseRole.API, tenant.id):
        keys.issue_api_key(tenant=other, name="theirs", scopes=[Scope.JOBS_READ])

    assert [key.name for key in ApiKey.objects.across_tenants()] == ["mine"]
