from django.urls import path

from tenants.views import TokenView

urlpatterns = [path("oauth/token", TokenView.as_view(), name="token")]
