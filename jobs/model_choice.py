"""Which of a job's models is asked: the first that is there.

A model is left for the rest of a step when it is away: its circuit is open, a call to it failed by
the provider's fault, it has no credit, or our key may not use it. The next one gets the same call,
in the same attempt: nothing waits, and each call stands in the ledger at its own model's price.
What a model did is told to its circuit (jobs/breaker.py): an answer with the call's outcome (see
jobs/ledger.py), a failure once for each step; a call with a tenant's own key tells nothing of
anybody else's, so it has no circuit.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from jobs import breaker, providers
from jobs.breaker import circuit_name
from jobs.budget import DEFAULT, Asked
from jobs.claims import Claim
from jobs.errors import BudgetExhausted, ModelsAway, OwnKeyRefused, OwnQuotaExhausted
from jobs.ledger import RecordedCalls, intend_with_ours
from jobs.model_loop import Clients
from jobs.progress import ProgressWriter
from jobs.providers import Standing
from jobs.threads import in_thread
from llm import bounds
from llm.completer import Reply
from llm.errors import (
    AuthRefused,
    LLMError,
    ModelRefused,
    QuotaExhausted,
    TimedOut,
    Unavailable,
)
from llm.limits import Tokens
from llm.prompts import Prompt

M = TypeVar("M", bound=BaseModel)

CIRCUIT_OPEN = "circuit_open"
# Another model may do better. A key that opens nothing (401) opens no other model either.
AWAY = (Unavailable, TimedOut, ModelRefused, QuotaExhausted)


class Circuits:
    """What the calls of one job mean for the installation's circuits.

    trials  names of circuits that this job tries for all
    """

    def __init__(self, trials: Iterable[str] = ()) -> None:
        self._trials = set(trials)
        self._answering: set[str] = set()

    def choose(self, models: list[str], away: frozenset[str]) -> "Choice":
        """The models to ask, and those that are away. A trial may be won on the way.

        away  the circuits that let no call pass

        Where all are away, a model that has answered this very job goes on being asked: what it
        has said would have to be paid for again.
        """
        choice = Choice()
        for model in models:
            name = circuit_name(model)
            if name not in away or (not choice.models and self._may_try(name)):
                choice.models.append(model)
            else:
                choice.left[model] = CIRCUIT_OPEN
        if not choice.models:
            choice.models = [model for model in choice.left if model in self._answering]
            choice.left = {}
        return choice

    def answered(self, models: Iterable[str]) -> None:
        for model in models:
            self._answering.add(model)
            self._trials.discard(circuit_name(model))

    def failed(self, error: Exception) -> None:
        """What an error says of the model that was asked; of most, nothing."""
        if not isinstance(error, LLMError) or isinstance(error, ModelsAway | OwnKeyRefused):
            return
        asked = error.asked or DEFAULT
        if asked.own_key:
            return
        name = circuit_name(asked.model)
        self._trials.discard(name)
        if isinstance(error, QuotaExhausted | AuthRefused):
            breaker.hold_open(error.code, name)
        elif isinstance(error, Unavailable | TimedOut):
            breaker.failed(error.code, name)
        else:
            breaker.succeeded(name)  # a bad answer is an answer: the provider is there

    @property
    def tries(self) -> bool:
        """Does the job try a circuit for all?"""
        return bool(self._trials)

    def leave_trials(self) -> None:
        """The job is over without having asked: another may try at once."""
        for name in list(self._trials):
            breaker.give_up_probe(name)
            self._trials.discard(name)

    def _may_try(self, name: str) -> bool:
        if name not in self._trials and breaker.may_probe(name):
            self._trials.add(name)
        return name in self._trials


@dataclass
class Choice:
    """Of one step: models to ask, in order, and why others are not."""

    models: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


class ChosenModels:
    """The client of one step of a job.

    models    that the job may ask, in order; a step that costs no call names the first
    progress  is written with the intent of the first call
    """

    def __init__(
        self,
        clients: Clients,
        claim: Claim,
        models: list[str],
        circuits: Circuits,
        progress: ProgressWriter | None = None,
    ) -> None:
        self._clients, self._claim, self._circuits = clients, claim, circuits
        self._models, self._progress = models, progress
        self._names = [circuit_name(model) for model in models]
        self._choice: Choice | None = None  # until a call needs one: with an own key none does
        self._choosing = asyncio.Lock()
        self._failed: dict[str, str] = {}
        self._answered: dict[str, bool] = {}  # model -> with the tenant's own key
        self.model = models[0]

    async def complete(
        self,
        *,
        prompt: Prompt,
        data: dict[str, Any],
        schema: type[M],
        deadline: float,
        request_label: str = "",
    ) -> Reply[M]:
        """As `llm.client.Client.complete`, of the first model that is there.

        Raises what that raises, LeaseLost or BudgetExhausted before a call that may not start,
        ModelsAway where nobody is asked, OwnKeyRefused or OwnQuotaExhausted.
        """
        bound = bounds.of_call(prompt, data, schema)
        standing, intended = await self._intend(self._likely(), bound, request_label)
        provider = standing.provider
        models = self._models if provider.own_key else (await self._chosen(standing.away)).models
        if intended:  # whatever another call has met meanwhile: what is in the ledger is asked
            models = [intended, *(model for model in models if model != intended)]
        failures: list[LLMError] = []
        for model in models:
            if model in self._failed and model != intended:
                continue
            asked = Asked(model, provider.own_key)
            try:
                async with self._clients.of(provider, model) as client:
                    recorded = RecordedCalls(
                        client, self._claim, own_key=asked.own_key, progress=self._progress
                    )
                    reply = await recorded.complete(
                        prompt=prompt,
                        data=data,
                        schema=schema,
                        deadline=deadline,
                        request_label=self._label(request_label, model),
                        bound=None if model == intended else bound,
                    )
            except BudgetExhausted:
                if failures:
                    break  # a model that cannot be paid is no help: wait for the one before
                raise
            except LLMError as error:
                failures.append(_of_whom(error, asked))
                if not isinstance(error, AWAY) or time.monotonic() >= deadline:
                    break
            else:
                self._answered[model] = asked.own_key
                await self._leave(failures)
                return reply
        raised = _most_hopeful(failures) if failures else await self._nobody()
        await self._leave([other for other in failures if other is not raised])
        raise raised

    @property
    def provenance(self) -> dict[str, Any]:
        """What a result says of the choice: nothing where the first model answered."""
        left = (self._choice or Choice()).left | self._failed
        said: dict[str, Any] = {}
        if left and self._answered:
            said = {"fallback_from": list(left), "reason": next(iter(left.values()))}
        return said | ({"own_key": True} if any(self._answered.values()) else {})

    def succeeded(self) -> None:
        """The step is done: its models answer."""
        self._circuits.answered(model for model, own in self._answered.items() if not own)

    def _likely(self) -> str | None:
        """The model that a call asks first where nothing has happened meanwhile."""
        models = self._choice.models if self._choice else self._models
        return next((model for model in models if model not in self._failed), None)

    async def _intend(
        self, model: str | None, bound: Tokens, request_label: str
    ) -> tuple[Standing, str | None]:
        """How things stand and, where they are as usual, the model that a call is intended to."""
        claim, names = self._claim, self._names
        if model is None:
            return await in_thread(lambda: providers.standing(claim.tenant_id, names)), None
        label, begun = self._label(request_label, model), None
        if self._progress:
            begun = self._progress.take_beginning()
        standing, is_intended = await in_thread(
            lambda: intend_with_ours(claim, label, bound, model, names, progress=begun)
        )
        if self._progress and not is_intended:
            self._progress.put_back(begun)
        return standing, model if is_intended else None

    async def _chosen(self, away: frozenset[str]) -> Choice:
        async with self._choosing:  # the calls of a step run at once; it is chosen for once
            if self._choice is None and away:
                choose = partial(self._circuits.choose, self._models, away)
                self._choice = await in_thread(choose)
            self._choice = self._choice or Choice(list(self._models))
            return self._choice

    def _label(self, request_label: str, model: str) -> str:
        place = self._models.index(model)
        return f"{request_label}.m{place + 1}" if place else request_label

    async def _leave(self, failures: list[LLMError]) -> None:
        for error in failures:
            model = error.asked.model
            if model not in self._failed:  # another call of this step may have met it before
                self._failed[model] = error.code
                await in_thread(partial(self._circuits.failed, error))

    async def _nobody(self) -> ModelsAway:
        return await in_thread(lambda: models_away(self._names))


def models_away(names: list[str]) -> ModelsAway:
    return ModelsAway("no model of the job is there", retry_after=breaker.seconds_to_trial(names))


def _of_whom(error: LLMError, asked: Asked) -> LLMError:
    """The error, saying who was asked; what only a person can mend is the key's owner's to mend."""
    if asked.own_key and isinstance(error, AuthRefused | QuotaExhausted):
        kind = OwnKeyRefused if isinstance(error, AuthRefused) else OwnQuotaExhausted
        error = kind(error.detail, used=error.used)
    error.asked = asked
    return error


def _most_hopeful(failures: list[LLMError]) -> LLMError:
    """One after which the job may go on by itself, if there is one."""
    return next((error for error in failures if error.retryable), failures[-1])
