"""What people do in a browser, for tests."""

import re
import time

from deploy.local.totp import totp

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PASSWORD = "correct horse battery staple"


def sign_in(client, user, *, mfa=True, seconds_ago=0):
    """The session of a person who signed in so long ago, with a second factor or without."""
    client.force_login(user)
    at = time.time() - seconds_ago
    records = [{"method": "password", "at": at, "email": user.email}]
    records += [{"method": "mfa", "at": at, "type": "totp", "id": 1}] if mfa else []
    session = client.session
    session["account_authentication_methods"] = records
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


def give_password(client, email, password=PASSWORD, **extra):
    return client.post("/accounts/login/", {"login": email, "password": password}, **extra)


def give_code(client, code=None):
    return client.post("/accounts/2fa/authenticate/", {"code": code or code_now()})


def code_now(steps=0):
    """The code of now, or of so many half minutes later: each works once."""
    return totp(SECRET, time.time() + 30 * steps)


def is_in(client):
    return client.get("/accounts/").status_code == 200


def link_in(mail):
    """The path and all of the first link in a mail."""
    return re.search(r"https?://\S+", mail.body).group()
