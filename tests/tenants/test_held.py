"""An answer that stays open ends when nobody can say whether its caller may still ask."""

import asyncio
from uuid import uuid4

from config.lanes import Asked
from tenants import held
from tenants.models import Scope


def asked(bearer):
    headers = {b"authorization": b"Bearer " + bearer}
    return Asked("GET", "/jobs", b"", headers, "127.0.0.1", None)


async def let_go(bearer):
    """Keeps an answer open for two seconds at most; whether it was ended before."""
    try:
        async with held.Place(uuid4(), asked(bearer), Scope.JOBS_READ).kept():
            await asyncio.sleep(2)
    except held.LetGo:
        return True
    return False


def test_a_question_that_fails_ends_its_own_answers_and_no_others_go_unasked(monkeypatch):
    questions = []

    async def look(asked, scope):
        bearer = asked.headers[b"authorization"].split()[1]
        questions.append(bearer)
        if bearer == b"breaks":
            raise LookupError("no signing key")
        return questions.count(b"taken") < 3 if bearer == b"taken" else True

    monkeypatch.setattr(held, "may_go_on", look)
    monkeypatch.setattr(held, "SECONDS", 0.05)

    async def all_of_them():
        bearers = (b"breaks", b"taken", b"good")
        return await asyncio.gather(*map(let_go, bearers))

    assert asyncio.run(all_of_them()) == [True, True, False]
