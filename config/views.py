"""The base of the few views that anybody may call."""

from rest_framework.views import APIView


class PublicView(APIView):
    """Asks for no credentials and reads none."""

    authentication_classes: list = []
    permission_classes: list = []
