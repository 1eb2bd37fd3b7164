"""Questions that come at the same time are asked together, in one round trip.

Whoever asks while an answer is awaited goes with those who ask next: nobody waits for company, and
the busier it is the more go together.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST = 8  # of a round trip: while it is under way, others are made ready for the next


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Question, Answer]):
    question: Question
    answer: "asyncio.Future[Answer]"


class Together(Generic[Key, Question, Answer]):
    """A line for each key.

    ask    asks all of some questions, in their order; on a running event loop
    alone  what `ask` raises because of one of them, with nothing done for any: then each is asked
           by itself. What else it raises is everybody's.
    """

    def __init__(
        self,
        ask: Callable[[Key, list[Question]], Awaitable[list[Answer]]],
        alone: tuple[type[Exception], ...] = (),
    ) -> None:
        self._ask_all, self._alone = ask, alone
        self._lines: defaultdict[Key, list[_Waiting[Question, Answer]]] = defaultdict(list)
        self._askers: dict[Key, asyncio.Task[None]] = {}

    async def ask(self, key: Key, question: Question) -> Answer:
        """Its answer. Whoever is cancelled while waiting has asked all the same."""
        waiting = _Waiting(question, asyncio.get_running_loop().create_future())
        self._lines[key].append(waiting)
        if key not in self._askers:
            self._askers[key] = asyncio.create_task(self._work_off(key))
        return await waiting.answer

    async def _work_off(self, key: Key) -> None:
        try:
            while line := self._lines[key]:
                self._lines[key] = line[MOST:]
                await self._answer(key, line[:MOST])
        finally:
            del self._lines[key], self._askers[key]

    async def _answer(self, key: Key, asked: list[_Waiting[Question, Answer]]) -> None:
        try:
            answers = await self._ask_all(key, [waiting.question for waiting in asked])
            for waiting, answer in zip(asked, answers, strict=True):
                if not waiting.answer.done():  # whoever asked may have gone
                    waiting.answer.set_result(answer)
        except Exception as error:
            if len(asked) == 1 or not isinstance(error, self._alone):
                _fail(asked, error)
                return
            for waiting in asked:
                await self._answer(key, [waiting])


def _fail(asked: list[_Waiting[Question, Answer]], error: Exception) -> None:
    for waiting in asked:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
