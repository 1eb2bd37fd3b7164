from django.urls import path

from accounts.views import HomePage, JWKSView

urlpatterns = [
    path(".well-known/jwks.json", JWKSView.as_view(), name="jwks"),
    path("accounts/", HomePage.as_view(), name="account_home"),
]
