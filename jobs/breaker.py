"""One circuit per provider and model, shared by all workers: a row in PostgreSQL.

Closed, calls pass. FAILURES errors in a row within WINDOW open it: its model is not asked, and
where that is so of every model no job is claimed, so that none burns an attempt against a provider
that is away. After a wait one job in the whole fleet
tries (half open); its success closes the circuit, its failure doubles the wait. Errors that only
a person can mend (no credit, bad credentials) open it until staff closes it.

The row lives where the jobs do: while PostgreSQL is away nothing is claimed either, and a FLUSHALL
of Redis changes nothing. Source of the pattern: Nygard, Release It!, 2007, chapter 5.
"""

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from jobs.models import Circuit
from tenants.audit import record
from tenants.preferences import installed_models

logger = logging.getLogger(__name__)

FAILURES = 5
WINDOW = timedelta(seconds=30)
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0  # seconds
ANSWERS = "the provider answers"  # why a circuit was closed
TRIAL = timedelta(seconds=60)  # then another may try: the first was lost, or is very slow

# A run of failures that began longer ago than the window begins anew. While half open, one more
# failure is enough.
FAIL = """
INSERT INTO jobs_circuit AS circuit (name, failures, window_started_at)
VALUES (%(name)s, 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    failures = CASE WHEN circuit.window_started_at > clock_timestamp() - %(window)s
        THEN circuit.failures + 1 ELSE 1 END,
    window_started_at = CASE WHEN circuit.window_started_at > clock_timestamp() - %(window)s
        THEN circuit.window_started_at ELSE clock_timestamp() END
RETURNING state, failures
"""
OPEN = """
UPDATE jobs_circuit SET
    state = 'open',
    wait_seconds = least(greatest(wait_seconds * 2, %(first)s), %(longest)s),
    open_until = clock_timestamp()
        + least(greatest(wait_seconds * 2, %(first)s), %(longest)s) * interval '1 second',
    probe_until = NULL, failures = 0, reason = %(reason)s, changed_at = clock_timestamp()
WHERE name = %(name)s AND (state = 'half_open' OR state = 'closed' AND failures >= %(failures)s)
"""
# The winner of this statement is the only prober; if it dies, its lease ends.
PROBE = """
UPDATE jobs_circuit SET state = 'half_open', probe_until = clock_timestamp() + %(lease)s,
    changed_at = clock_timestamp()
WHERE name = %(name)s AND state <> 'closed' AND open_until <= clock_timestamp()
    AND (probe_until IS NULL OR probe_until <= clock_timestamp())
"""
CLOSE = """
UPDATE jobs_circuit SET state = 'closed', failures = 0, wait_seconds = 0, open_until = NULL,
    probe_until = NULL, reason = %(reason)s, changed_at = clock_timestamp()
WHERE name = %(name)s AND (state <> 'closed' OR failures > 0)
"""
UNTIL_TRIAL = """
SELECT extract(epoch FROM min(greatest(open_until, probe_until)) - clock_timestamp())::float
FROM jobs_circuit WHERE name = ANY(%(names)s) AND open_until IS NOT NULL
"""
# An answer to a call that began before says nothing of what only a person can mend.
CLOSE_BY_AN_ANSWER = CLOSE + "    AND (state <> 'open' OR open_until IS NOT NULL)"


def circuit_name(model: str = "") -> str:
    """Provider and model, such as "api.openai.com/gpt-4.1-mini"; of the first model unless given.

    Only calls with the installation's own key have a circuit.
    """
    return f"{provider_host()}/{model or settings.OPENAI_MODEL}"


def provider_host() -> str:
    """Of the installation's own provider."""
    base = settings.OPENAI_BASE_URL or (
        "https://api.openai.com" if settings.OPENAI_API_KEY else settings.OFFLINE_MODEL_URL
    )
    return urlsplit(base).hostname or ""


def all_circuits() -> list[str]:
    """Of every model that jobs may be run with."""
    return [circuit_name(model) for model in installed_models()]


def seconds_to_trial(names: list[str]) -> float:
    """Until the first of these may be tried; LONGEST_WAIT where that is for staff to say."""
    with connection.cursor() as cursor:
        cursor.execute(UNTIL_TRIAL, {"names": names})
        seconds = cursor.fetchone()[0]
    return LONGEST_WAIT if seconds is None else min(max(seconds, 1.0), LONGEST_WAIT)


def may_probe(name: str = "") -> bool:
    """May this worker try the model, alone of all? True is a lease for TRIAL."""
    return _execute(PROBE, name, lease=TRIAL) == 1


def give_up_probe(name: str = "") -> None:
    """The winner of a trial found nothing to try with: the next may win it at once."""
    name = name or circuit_name()
    Circuit.objects.filter(name=name, state="half_open").update(probe_until=None)


def succeeded(name: str = "") -> None:
    """A call was answered: the run of failures, or the trial, is over."""
    if _execute(CLOSE_BY_AN_ANSWER, name, reason=ANSWERS):
        tell_closed(name or circuit_name())


def tell_closed(name: str) -> None:
    logger.info("circuit_closed", extra={"circuit": name})


def failed(code: str, name: str = "") -> None:
    """A call failed by the provider's fault."""
    name = name or circuit_name()
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"name": name, "window": WINDOW}
        cursor.execute(FAIL, parameters)
        state, failures = cursor.fetchone()
    if state == "half_open" or failures >= FAILURES:
        opened = _execute(
            OPEN, name, first=FIRST_WAIT, longest=LONGEST_WAIT, failures=FAILURES, reason=code
        )
        if opened:
            logger.error("circuit_opened", extra={"circuit": name, "reason": code})


def hold_open(reason: str, name: str = "") -> None:
    """Opens the circuit until a person closes it."""
    name = name or circuit_name()
    held = {"state": "open", "open_until": None, "probe_until": None}
    with transaction.atomic():
        is_held = Circuit.objects.filter(name=name, **held).exists()
        since = {} if is_held else {"changed_at": Now()}
        Circuit.objects.update_or_create(name=name, defaults={**held, **since, "reason": reason})
        if not is_held:
            _record("circuit.held_open", name, reason)
    logger.error("circuit_held_open", extra={"circuit": name, "reason": reason})


def close(reason: str, name: str = "") -> bool:
    """What staff does once the cause is mended; False if it was closed already."""
    name = name or circuit_name()
    with transaction.atomic():
        closed = _execute(CLOSE, name, reason=reason) == 1
        if closed:
            _record("circuit.closed", name, reason)
    return closed


def _record(action: str, name: str, reason: str) -> None:
    record(action, tenant_id=None, of=("circuit", name), after={"reason": reason})


def _execute(statement: str, name: str = "", **parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"name": name or circuit_name(), **parameters})
        return int(cursor.rowcount)
