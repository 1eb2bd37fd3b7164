import uuid

from django.conf import settings
from django.db import models


class Job(models.Model):
    event_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    status = models.CharField(max_length=20, default="PENDING")
    title = models.CharField(max_length=200, blank=True)
    guideline_text = models.TextField()
    result = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
