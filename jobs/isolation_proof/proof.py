"""The proof, pass by pass: both walls together, each wall alone, and the catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from config import catalogue
from config.isolation import DatabaseRole, acting_as
from jobs import error_groups
from jobs.isolation_proof import doors, in_sql, over_http, routes
from jobs.isolation_proof.callers import everybody, everybody_with_a_browser, person
from jobs.isolation_proof.report import Report
from jobs.isolation_proof.world import World, models_without_a_maker, world_for_a_while
from jobs.models import Document
from tenants.models import Role

BOTH, FIRST, SECOND = "both walls", "first wall alone", "second wall alone"
SQL, CATALOGUE = "SQL", "catalogue"

# Pages cost much, and what these may open lies between what a viewer and an owner may.
BETWEEN = ("admin's browser", "member's browser")


class NotProvable(Exception):
    """The proof's own premise does not hold; its result would mean nothing."""


def prove(url: str = "", *, only: str = "") -> Report:
    """Makes its tenants, tries everything, closes them again.

    url   a running server over the same database, asked over the network with both walls up; the
          walls one by one are tried in this process in any case
    only  routes whose path begins so, such as "jobs"

    Runs as the owner of the tables. Raises NotProvable.
    """
    asked = [each for each in routes.endpoints() if each.pattern.startswith(only)]
    report = Report(routes=len(asked))
    _everything_is_known(report)
    if report.leaks:
        return report
    with doors.quiet(), error_groups.uncounted(), world_for_a_while() as world:
        with _part(report, SQL):
            # First: it needs rows as they were made, and leaves them so.
            in_sql.run(world, report)
        with _part(report, CATALOGUE):
            _catalogue(report)
        with _part(report, BOTH):
            door = doors.OverTheNetwork(url) if url else doors.InProcess()
            _http(world, report, door, asked)
        tenants_own = [each for each in asked if not each.for_staff]
        with _part(report, FIRST), doors.without_row_security():
            _premise(_sees_all_by_sql(world), "row security could not be taken away")
            _http(world, report, doors.InProcess(), tenants_own)
        with _part(report, SECOND), doors.without_filters():
            _premise(_sees_all_by_query(world), "the queries' filters could not be taken away")
            _http(world, report, doors.InProcess(), tenants_own)
    return report


def _everything_is_known(report: Report) -> None:
    """No route without a row, no model of a tenant without a maker."""
    with _part(report, "inventory"):
        for where, what in routes.problems():
            report.check(False, where, "", what)
        report.nothing_of(models_without_a_maker(), "world.py", "no maker for")


def _http(world: World, report: Report, door: doors.Door, asked: list[routes.Endpoint]) -> None:
    proof = over_http.HTTPProof(world, report, door)
    consoles = [each for each in asked if each.for_console]
    with everybody(world) as callers:
        proof.run([each for each in asked if not each.for_console], callers)
    with everybody_with_a_browser(world) as callers:
        proof.run(consoles, [each for each in callers if each.name not in BETWEEN])
    over_http.others_cursor_in_b(proof, asked, person(world.b, Role.OWNER))


def _catalogue(report: Report) -> None:
    found = catalogue.findings()
    report.checks += len(catalogue.tables())
    for finding in found:
        report.check(False, finding.where, "", f"{finding.what} [{finding.rule}]")


@contextmanager
def _part(report: Report, name: str) -> Iterator[None]:
    report.part = name
    yield


def _premise(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotProvable(f"The proof means nothing: {otherwise}.")


def _sees_all_by_sql(world: World) -> bool:
    with acting_as(DatabaseRole.API, world.a.tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM jobs_document WHERE tenant_id = %s", [world.b.tenant.id]
        )
        return cursor.fetchone()[0] > 0


def _sees_all_by_query(world: World) -> bool:
    seen = Document.objects.for_tenant(world.a.tenant.id).filter(tenant=world.b.tenant)
    return seen.exists()
