from typing import Any

from celery import Celery
from django.db.models import QuerySet
from django.urls import path
from guardian.shortcuts import assign_perm, get_objects_for_user
from rest_framework import generics, permissions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from tests.bench.peers.with_drf.models import Job

celery = Celery("peer")
celery.config_from_object("django.conf:settings", namespace="CELERY")


@celery.task
def process(event_id: str) -> None:
    """Nobody runs it here."""


class JobSerializer(serializers.ModelSerializer[Job]):
    class Meta:
        model = Job
        fields = ["event_id", "status", "title", "guideline_text", "result", "created_at"]
        read_only_fields = ["event_id", "status", "result", "created_at"]
        extra_kwargs = {"guideline_text": {"write_only": True, "max_length": 1_048_576}}


class ObjectPermissions(permissions.DjangoObjectPermissions):
    perms_map = {
        **permissions.DjangoObjectPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated)


class JobList(generics.ListCreateAPIView[Job]):
    serializer_class = JobSerializer

    def get_queryset(self) -> QuerySet[Job]:
        return get_objects_for_user(self.request.user, "with_drf.view_job").order_by("-created_at")

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response = super().create(request, *args, **kwargs)
        response.status_code = status.HTTP_202_ACCEPTED
        return response

    def perform_create(self, serializer: Any) -> None:
        job = serializer.save(owner=self.request.user)
        for permission in ("view_job", "change_job", "delete_job"):
            assign_perm(permission, self.request.user, job)
        process.delay(str(job.event_id))


class JobDetail(generics.RetrieveAPIView[Job]):
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    permission_classes = [ObjectPermissions]


urlpatterns = [
    path("jobs", JobList.as_view()),
    path("jobs/<uuid:pk>", JobDetail.as_view()),
]
