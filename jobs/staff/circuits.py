"""The circuits of models and the queues of tenants: what lets work pass, or holds it."""

from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.staff import Act, ActPage, StaffPage, StaffRole, declare, staff_page
from jobs import breaker, services
from jobs.models import Circuit
from tenants.models import Tenant

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
PAUSE = declare(
    Act(
        "queue.paused",
        "Pause the queue",
        StaffRole.OPERATOR,
        "No job of this tenant begins until somebody resumes. What runs goes on, and more can be"
        " submitted, up to the tenant's cap.",
        danger=True,
    )
)
RESUME = declare(
    Act("queue.resumed", "Resume the queue", StaffRole.OPERATOR, "The tenant's jobs begin again.")
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
    @property
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


class QueueAct(ActPage):
    paused: bool

    @property
    def tenant(self) -> Tenant:
        tenant_id: UUID = self.kwargs["tenant_id"]
        return get_object_or_404(Tenant, pk=tenant_id)

    def about(self) -> str:
        return f"The queue of {self.tenant.name}"

    def perform(self, form: Any) -> str:
        changed = services.pause_queue(self.tenant.pk, paused=self.paused)
        said = "paused" if self.paused else "resumed"
        return f"The queue is {said}." if changed else f"The queue was {said} already."

    def back(self) -> str:
        return reverse("admin:tenant", args=[self.kwargs["tenant_id"]])


@staff_page("tenants/<uuid:tenant_id>/pause/", name="queue_pause")
class PausePage(QueueAct):
    act, paused = PAUSE, True


@staff_page("tenants/<uuid:tenant_id>/resume/", name="queue_resume")
class ResumePage(QueueAct):
    act, paused = RESUME, False
