"""The circuits of models: what lets calls pass, or holds them."""

from functools import cached_property
from typing import Any

from django.http import Http404
from django.urls import reverse

from config.staff import Act, ActPage, StaffPage, StaffRole, declare, staff_page
from jobs import breaker
from jobs.models import Circuit

HOLD = declare(
    Act(
        "circuit.held_open",
        "Hold open",
        StaffRole.OPERATOR,
        "No call is made to this model until somebody closes the circuit. Jobs that need it wait"
        " without losing attempts; those with another model, or with a key of their own, go on.",
        danger=True,
    )
)
CLOSE = declare(
    Act(
        "circuit.closed",
        "Close",
        StaffRole.OPERATOR,
        "Calls to this model pass again, at once. If the cause is not mended, it opens by itself.",
    )
)


@staff_page("circuits/", name="circuits", label="Circuits", place=40)
class CircuitsPage(StaffPage):
    title = "Circuits"
    template = "circuits.html"

    def context(self) -> dict[str, Any]:
        known = {circuit.name: circuit for circuit in Circuit.objects.all()}
        # One that has never failed has no row yet.
        names = sorted({*known, *breaker.all_circuits()})
        unknown = {"state": Circuit.State.CLOSED, "failures": 0, "reason": ""}
        circuits = [known.get(name) or Circuit(name=name, **unknown) for name in names]
        return {"circuits": circuits, "may_act": self.may(CLOSE), "hold": HOLD, "close": CLOSE}


class CircuitAct(ActPage):
    @cached_property
    def name(self) -> str:
        name: str = self.kwargs["circuit"]
        known = name in breaker.all_circuits() or Circuit.objects.filter(name=name).exists()
        if not known:
            raise Http404
        return name

    def about(self) -> str:
        return f"The circuit of {self.name}"

    def back(self) -> str:
        return reverse("admin:circuits")


@staff_page("circuits/<path:circuit>/open/", name="circuit_open")
class HoldPage(CircuitAct):
    act = HOLD

    def perform(self, form: Any) -> str:
        breaker.hold_open(form.cleaned_data["reason"], self.name)
        return f"{self.name} is held open."


@staff_page("circuits/<path:circuit>/close/", name="circuit_close")
class ClosePage(CircuitAct):
    act = CLOSE

    def perform(self, form: Any) -> str:
        closed = breaker.close(form.cleaned_data["reason"], self.name)
        return f"{self.name} is closed." if closed else f"{self.name} was closed already."
