"""The routes of the console. Importing a module of pages puts them in place."""

from django.urls import path

from jobs.console import (  # noqa: F401
    job_acts,
    job_diff,
    job_list,
    job_page,
    limits,
    new_job,
    overview,
    usage,
)
from tenants.console import audit, keys, members, settings  # noqa: F401
from tenants.console.home import ConsoleHome
from tenants.console.page import patterns

app_name = "console"
urlpatterns = [path("", ConsoleHome.as_view(), name="home"), *patterns()]
