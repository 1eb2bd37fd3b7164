"""The settings of the tests: those of production with a fast password hasher.

Type checkers load them too, without servers; then the addresses below are never used.
"""

import os

from deploy.local.stack import new_secrets

os.environ.setdefault("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
for _name, _value in new_secrets().items():
    os.environ.setdefault(_name, _value)

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The parts of the tests share the processors: what waits there is no server that is away.
DATABASES["default"]["OPTIONS"]["pool"]["timeout"] = 10  # noqa: F405
for _cached in CACHES.values():  # noqa: F405
    _cached["OPTIONS"].update(socket_timeout=5, socket_connect_timeout=5)
# Where the tests have a server of their own, its database has migrated already.
if _template := os.environ.get("TEST_DATABASE_TEMPLATE"):
    DATABASES["default"]["TEST"] = {"TEMPLATE": _template}  # noqa: F405
