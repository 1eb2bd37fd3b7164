from django.urls import path

from tenants.views.oauth import TokenView

urlpatterns = [path("oauth/token", TokenView.as_view(), name="token")]
