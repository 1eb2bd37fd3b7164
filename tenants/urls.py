from django.urls import path

from tenants.views.invitations_page import InvitationPage
from tenants.views.oauth import TokenView

urlpatterns = [
    path("oauth/token", TokenView.as_view(), name="token"),
    path("invitations/<str:token>", InvitationPage.as_view(), name="invitation"),
]
