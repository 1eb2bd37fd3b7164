"""Submissions of a tenant that come at the same time are written together.

Their caps and budgets are exact, so they stand in line for the tenant's rows until a commit lets
the next one in. Here they stand in line before that: who comes while the tenant's transaction is
under way goes with the next one, and a commit is for all who have waited for it.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, ProgrammingError

from config import loop
from config.isolation import DatabaseRole
from jobs.services import SUBMIT

TOGETHER = 16  # at most


@dataclass(frozen=True, slots=True)
class _Waiting:
    values: dict[str, Any]
    made: "asyncio.Future[dict[str, Any]]"


_lines: defaultdict[UUID, list[_Waiting]] = defaultdict(list)
_writers: dict[UUID, "asyncio.Task[None]"] = {}


async def write(tenant_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
    """The row that SUBMIT gives. Raises what Django raises."""
    waiting = _Waiting(values, asyncio.get_running_loop().create_future())
    _lines[tenant_id].append(waiting)
    if tenant_id not in _writers:
        _writers[tenant_id] = asyncio.create_task(_write_all(tenant_id))
    return await waiting.made


async def _write_all(tenant_id: UUID) -> None:
    try:
        while line := _lines[tenant_id]:
            _lines[tenant_id] = line[TOGETHER:]
            await _write(tenant_id, line[:TOGETHER])
    finally:
        del _lines[tenant_id], _writers[tenant_id]


async def _write(tenant_id: UUID, together: list[_Waiting]) -> None:
    asked = [waiting.values for waiting in together]
    try:
        rows = await loop.rows_of_each(DatabaseRole.API, tenant_id, SUBMIT, asked)
    except (DataError, IntegrityError, ProgrammingError) as error:
        if len(together) > 1:  # it is one of them, and nothing is written of any
            for waiting in together:
                await _write(tenant_id, [waiting])
        else:
            _refuse(together, error)
    except Exception as error:  # perhaps all are written: to write them again could do it twice
        _refuse(together, error)
    else:
        for waiting, (made,) in zip(together, rows, strict=True):
            if not waiting.made.done():  # whoever asked may have gone
                waiting.made.set_result(made)


def _refuse(together: list[_Waiting], error: Exception) -> None:
    for waiting in together:
        if not waiting.made.done():
            waiting.made.set_exception(error)
