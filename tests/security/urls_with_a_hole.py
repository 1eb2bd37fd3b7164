"""The product's routes and one more, which forgets whose jobs it shows."""

from django.http import Http404
from django.urls import path
from rest_framework.response import Response

from config.urls import urlpatterns as real
from jobs.models import Job
from tenants.models import Scope
from tenants.scope import TenantView


class AnybodysJobView(TenantView):
    required_scopes = {"GET": Scope.JOBS_READ}

    def get(self, request, event_id):
        job = Job.objects.across_tenants().filter(event_id=event_id).first()
        if job is None:
            raise Http404
        return Response({"title": job.title})


urlpatterns = [path("anybodys/<uuid:event_id>", AnybodysJobView.as_view()), *real]
