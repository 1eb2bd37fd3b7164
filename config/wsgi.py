"""The WSGI application that web servers load."""

import os

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from config.checks import refuse_to_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Request(WSGIRequest):
    """Reads queries and forms as UTF-8: Django would in any codec of Python's that Content-Type
    names, and some are not of text. Parsers of the API refuse all others."""

    encoding = property(lambda self: None, lambda self, said: None)


class Handler(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)  # as django.core.wsgi.get_wsgi_application does
application = Handler()
refuse_to_start()
