"""`options.report`: the worker adds what is wrong with the guideline itself."""

import pytest

from jobs import runner
from tests.factories import JobFactory, TenantFactory

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = "Staff must keep doors open.\n\nStaff must not keep doors open.\n"


@pytest.mark.usefixtures("provider")
def test_a_job_that_asked_for_a_report_gets_one_and_no_other_does():
    tenant = TenantFactory()
    asked = JobFactory(tenant=tenant, guideline_text=SOURCE, options={"report": True})
    other = JobFactory(tenant=tenant, guideline_text=SOURCE)

    for _ in range(2):
        runner.run_next_job("w")

    asked.refresh_from_db()
    other.refresh_from_db()
    report = asked.result["report"]
    assert [finding["kind"] for finding in report["findings"]] == ["contradiction"]
    assert report["counts"]["contradiction"] == 1
    assert "report" not in other.result
