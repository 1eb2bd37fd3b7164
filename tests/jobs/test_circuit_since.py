"""Since when a circuit is as it is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import breaker
from jobs.models import Circuit

NAME = "api.example/held"


@pytest.mark.django_db
def test_a_circuit_is_held_since_it_was_first_held() -> None:
    long_ago = timezone.now() - timedelta(days=1)
    Circuit.objects.create(name=NAME, changed_at=long_ago)

    breaker.hold_open("no credit", NAME)
    held_since = Circuit.objects.get(name=NAME).changed_at
    assert held_since > long_ago

    Circuit.objects.filter(name=NAME).update(changed_at=long_ago)
    breaker.hold_open("still no credit", NAME)
    assert Circuit.objects.get(name=NAME).changed_at == long_ago
