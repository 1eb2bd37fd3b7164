import json
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from tenants.audit import Actor, acts_of, record
from tenants.models import ActorKind, AuditEntry
from tenants.sealing import sealer
from tests.factories import TenantFactory
from tests.tenants.sealing.conftest import TRUNCATES

pytestmark = pytest.mark.django_db
AUDIT = reverse("admin:audit")
WHY = {"reason": "The quarterly check"}


@pytest.fixture
def viewer(staff_client):
    return staff_client("viewer")


def write(action, tenant=None, actor="gpc_x", **what):
    with acts_of(Actor(ActorKind.KEY, actor)):
        record(action, tenant_id=tenant and tenant.id, **what)


def keep():
    """Puts back the triggers that keep the log, which tests do without (see tests/conftest.py)."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is pending bars ALTER TABLE
        for table, trigger in TRUNCATES.items():
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")


def shown(page):
    assert page.status_code == 200
    return [entry.action for entry in page.context["rows"]]


def test_entries_are_found_by_whole_values_and_time(viewer):
    north = TenantFactory(slug="north")
    write("key.created", north, of=("key", "gpc_1"))
    write("key.revoked", actor="ann@example.com", of=("key", "gpc_2"))
    write("job.submitted", north, of=("job", "j1"))

    def found(**asked):
        return shown(viewer.get(AUDIT, asked))

    assert "key.created" in found(tenant="north")
    assert "job.submitted" not in found(tenant="north")
    assert found(action="job.submitted", tenant="north") == ["job.submitted"]
    assert found(action="job.submitted") == []
    assert found(actor="ann@example.com") == ["key.revoked"]
    assert found(action="key.created") == ["key.created"]
    assert found(object_id="gpc_2") == ["key.revoked"]
    assert found(tenant="north", outcome="refused") == []
    assert found(tenant="nobody") == []
    assert found(until="2000-01-01 00:00") == []
    assert len(found(since="2000-01-01 00:00")) >= 2


def test_pages_by_time_and_id_in_few_statements(viewer, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr("tenants.staff.audit.PER_PAGE", 2)
    for n in range(5):
        write("x.done", of=("x", f"{n}"))

    with django_assert_max_num_queries(12):
        first = viewer.get(AUDIT, {"action": "x.done"})
    second = viewer.get(AUDIT + first.context["older"])
    third = viewer.get(AUDIT + second.context["older"])

    pages = [[e.object_id for e in page.context["rows"]] for page in (first, second, third)]
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    assert third.context["older"] == ""


def test_what_changed_is_marked_and_hostile_text_is_text(viewer):
    before = {"name": "<script>alert(1)</script>", "same": 1}
    write("x.changed", before=before, after={"name": "<img src=x onerror=alert(1)>", "same": 1})

    page = viewer.get(AUDIT, {"action": "x.changed"}).text

    assert "<mark>&lt;img src=x" in page
    assert "<script>alert" not in page
    assert "<mark>1</mark>" not in page


def test_values_are_said_in_words(staff_client, tenant):
    after = {"scopes": ["audit:read"], "rate": 1000, "ends": None, "money_per_month": 10**9}
    record("plan.changed", tenant_id=tenant.pk, of=("plan", "p"), after=after)

    said = staff_client("viewer").get(f"{reverse('admin:audit')}?action=plan.changed").text

    assert "scopes: audit:read<" in said and "rate: 1,000<" in said and "ends: none<" in said
    assert "money_per_month: $1,000.00" in said


def test_the_log_is_verified_and_that_is_noted(staff_client, tenant):
    write("x.done", tenant)
    sealer.seal_tenant(tenant.id)
    keep()
    operator = staff_client("operator")
    verify = reverse("admin:audit_verify")

    page = operator.post(verify, WHY | {"tenant": tenant.slug})

    assert page.context["found"] == []
    assert "The log is what it was." in page.text
    entry = AuditEntry.objects.across_tenants().get(action="audit.verified")
    assert entry.after["findings"] == 0
    assert entry.after["reason"] == "The quarterly check"


def test_what_was_changed_in_it_is_found(staff_client, tenant):
    write("x.done", tenant, of=("x", "1"))
    sealer.seal_tenant(tenant.id)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("ALTER TABLE tenants_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE tenants_auditentry SET object_id = '2' WHERE action = 'x.done'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    keep()

    page = staff_client("operator").post(
        reverse("admin:audit_verify"), WHY | {"tenant": tenant.slug}
    )

    assert "The log is not what it was." in page.text
    assert tenant.slug in [finding.tenant for finding in page.context["found"]]


def test_a_long_chain_is_left_to_the_command(staff_client, tenant, monkeypatch):
    monkeypatch.setattr("tenants.staff.audit.VERIFIED", 0)
    write("x.done", tenant)
    sealer.seal_tenant(tenant.id)

    page = staff_client("operator").post(reverse("admin:audit_verify"), WHY)

    assert page.status_code == 422
    assert "manage.py audit_verify" in page.text


def test_entries_are_taken_away_as_a_table_or_as_lines(staff_client, tenant):
    write("x.done", tenant, of=("x", "=HYPERLINK(1)"), after={"a": "ü"})
    administrator = staff_client("administrator")
    export = reverse("admin:audit_export") + "?action=x.done"

    table = administrator.post(export, WHY | {"form": "csv"})
    lines = administrator.post(export, WHY | {"form": "ndjson"})

    assert table.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert "'=HYPERLINK(1)" in table.text
    [line] = lines.text.splitlines()
    assert json.loads(line)["after"] == {"a": "ü"}
    entries = AuditEntry.objects.across_tenants().filter(action="audit.exported")
    assert [entry.after for entry in entries] == [{"entries": 1, **WHY}] * 2


def test_others_may_look_and_take_nothing_away(viewer, staff_client):
    for name in ("audit_verify", "audit_export"):
        assert viewer.post(reverse(f"admin:{name}"), WHY).status_code == 403
    assert staff_client("operator").post(reverse("admin:audit_export"), WHY).status_code == 403
    assert viewer.get(AUDIT).context["acts"] == []


def test_without_a_reason_nothing_is_taken_away(staff_client):
    page = staff_client("administrator").post(reverse("admin:audit_export"), {"form": "csv"})

    assert page.status_code == 422
    assert not AuditEntry.objects.across_tenants().filter(action="audit.exported").exists()


def test_records_are_listed_each_with_what_it_is_good_for(viewer):
    page = viewer.get(reverse("admin:records"))

    for _, url, worth in page.context["lists"]:
        assert worth
        assert viewer.get(url).status_code == 200
        assert viewer.get(f"{url}add/").status_code == 403


def test_djangos_pages_of_an_app_are_no_second_home(viewer):
    assert viewer.get("/admin/tenants/", follow=True).status_code == 200
    assert viewer.get("/admin/accounts/", follow=True).request["PATH_INFO"] == "/admin/records/"


def test_how_old_an_entry_is_counts_from_now(viewer):
    write("x.done")
    since = (timezone.now() + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M")

    assert shown(viewer.get(AUDIT, {"since": since})) == []
