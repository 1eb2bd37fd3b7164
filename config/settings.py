"""Every setting of every environment, read from environment variables.

A value may also be given as a file: `NAME_FILE=/run/secrets/name` is read where `NAME` is unset.
`.env.example` lists them all. A missing secret stops the start; there are no default secrets.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab

BASE_DIR = Path(__file__).resolve().parent.parent
APP_VERSION = "0.1.0"

env = environ.FileAwareEnv()

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
# Where the world reaches us: issuer and audience of tokens.
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
# Proxies of ours in front of the web processes: so many entries of X-Forwarded-For are believed.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)

INSTALLED_APPS = [
    "config.apps.StaffAdminConfig",  # django.contrib.admin, behind a second factor
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "guardian",
    "django_celery_results",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.humanize",  # for allauth's templates
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "config",
    "accounts",
    "tenants",
    "jobs",
]

MIDDLEWARE = [
    "config.headers.HeadersMiddleware",
    "config.middleware.RequestIdMiddleware",
    "config.middleware.ContentLengthMiddleware",
    "config.pages.HostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "config.middleware.APIMiddleware",  # what follows is of pages
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.pages.FormSizeMiddleware",
    "config.middleware.DatabaseRoleMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.pages.FetchSiteMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.AttemptsMiddleware",
    "accounts.middleware.AllauthHooksMiddleware",
    "tenants.middleware.ActorMiddleware",
    "config.pages.PageErrorsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ROOT_LANES = "jobs.lanes.LANES"  # of config.asgi: what is answered on the event loop
WEB_THREADS = env.int("WEB_THREADS", default=8)  # for everything else
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- PostgreSQL -----------------------------------------------------------------------------

DATABASES = {"default": env.db_url("DATABASE_URL")}
# A streaming replica, for what may be some seconds old: config/replica.py.
if _replica := env.str("DATABASE_REPLICA_URL", default=""):
    DATABASES["replica"] = env.db_url_config(_replica)
for _database in DATABASES.values():
    _database["ENGINE"] = "config.postgresql"
    _database.setdefault("OPTIONS", {}).update(
        {
            "pool": {
                "min_size": 1,
                "max_size": env.int("DATABASE_POOL_SIZE", default=16),
                "timeout": 2,
                # The pool doubles its pauses while the server is away; beginning anew after this
                # long, it is back within a second or two of the server instead of minutes.
                "reconnect_timeout": 1.5,
            },
            "connect_timeout": 2,
        }
    )
    # PgBouncer in transaction mode between us and PostgreSQL. It refuses start-up parameters, so
    # there the timeouts are those of the login (create_logins sets them), and it gives each
    # transaction another session, so that no cursor may outlive one.
    if env.bool("DATABASE_POOLER", default=False):
        _database["DISABLE_SERVER_SIDE_CURSORS"] = True
    else:
        _database["OPTIONS"]["options"] = (
            "-c statement_timeout=15s -c lock_timeout=2s -c idle_in_transaction_session_timeout=30s"
        )
if _replica:  # whose place the primary takes, so it is not waited for
    DATABASES["replica"]["OPTIONS"]["pool"]["timeout"] = 0.5
    # Of a machine that vanished nobody says that a connection is over.
    DATABASES["replica"]["OPTIONS"] |= {
        "tcp_user_timeout": 2000,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: broker of wake-ups, counters of rate limits. Nothing in it is precious. ----------

REDIS_URL = env.str("REDIS_URL")


def _cache(seconds: float) -> dict[str, Any]:
    """seconds  that whoever asks waits for Redis, at most"""
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "guidepost",
        "OPTIONS": {"socket_timeout": seconds, "socket_connect_timeout": seconds},
    }


CACHES = {
    "default": _cache(0.05),
    # Who signs in is refused where nothing can be counted, and Redis may only be busy.
    "attempts": _cache(0.25),
}
RATELIMIT_USE_CACHE = "attempts"
RATELIMIT_FAIL_OPEN = True  # a counter that a FLUSHALL takes away in mid-count limits nobody
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "guidepost:"}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_RESULT_BACKEND = "django-db"  # for staff: which task ran which event_id
CELERY_RESULT_EXTENDED = True
CELERY_TASK_IGNORE_RESULT = True  # a task asks for a row where a person needs one
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = "UTC"
# Three queues, three kinds of worker: `jobs` runs the chain and mostly waits for models;
# `documents` reads files, which takes processors; `maintenance` keeps the pump going and must never
# stand behind either.
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CELERY_TASK_ROUTES = {
    "jobs.tasks.pump": {"queue": "maintenance"},
    "jobs.tasks.read_document": {"queue": "documents"},
    "tenants.tasks.*": {"queue": "maintenance"},
    "jobs.tasks.tidy": {"queue": "maintenance"},
    "celery.backend_cleanup": {"queue": "maintenance"},
}
PUMP_SECONDS = env.float("PUMP_SECONDS", default=1)
CELERY_BEAT_SCHEDULE = {
    # Without `expires`: that compares two machines' clocks, and a wrong one would stop the pump.
    "pump": {"task": "jobs.tasks.pump", "schedule": PUMP_SECONDS},
    "expiring-keys": {
        "task": "tenants.tasks.warn_of_expiring_keys",
        "schedule": crontab(hour=6, minute=0),
    },
    "tidy": {"task": "jobs.tasks.tidy", "schedule": 60},
}

# --- People, tokens, permissions ------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # e-mail is unique: by a constraint that ignores case
    "security.W002",  # config/headers.py says X-Frame-Options, on errors too
    "security.W021",  # preloading is for the owner of the domain to ask for, not for a service
]
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: nobody has permissions without signing in
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.DressedUpPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
]
PASSWORD_RESET_TIMEOUT = 3600

# Pages of people, by django-allauth. How often one may try: accounts/attempts.py.
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "console:home"  # leads on whoever has no tenant
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True  # of every change of a credential
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_RATE_LIMITS = False
MFA_RATE_LIMITS = False
MFA_ADAPTER = "accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "accounts.forms.AddSecurityKeyForm",
    "authenticate_webauthn": "accounts.forms.UseSecurityKeyForm",
    "reauthenticate_webauthn": "accounts.forms.ConfirmSecurityKeyForm",
    "edit_webauthn": "accounts.forms.RenameSecurityKeyForm",
}
MFA_TOTP_ISSUER = "Guidepost"
MFA_TOTP_TOLERANCE = 1  # a code of half a minute ago; each works once
MFA_RECOVERY_CODES_SHOW_ONCE = True

# Keys every digest of a client secret: a stolen table alone verifies no guess.
API_KEY_PEPPER = env.str("API_KEY_PEPPER")
SIMPLE_JWT = {
    "ALGORITHM": "EdDSA",
    "SIGNING_KEY": None,  # the keys are in the database; without this line it were SECRET_KEY
    "ISSUER": PUBLIC_URL,
    "AUDIENCE": PUBLIC_URL,
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.int("TOKEN_SECONDS", default=900)),
    "LEEWAY": 30,
    "USER_ID_CLAIM": "sub",
}

# A person's session at the API ends when it was not refreshed for so long, or has grown so old.
API_SESSION_IDLE = timedelta(days=env.float("API_SESSION_IDLE_DAYS", default=14))
API_SESSION_MAX = timedelta(days=env.float("API_SESSION_MAX_DAYS", default=90))

TOKEN_RATE = env.str("TOKEN_RATE", default="60/m")  # tokens issued, for each tenant
TOKEN_ATTEMPT_RATE = env.str("TOKEN_ATTEMPT_RATE", default="300/m")  # tries, for each address
INVITATION_RATE = env.str("INVITATION_RATE", default="60/h")  # mails to strangers, for each tenant

# --- Mail -----------------------------------------------------------------------------------

# Mail carries links that sign people in: without a server it is printed locally, dropped in public.
# filemail:///directory makes a file of each.
_NO_MAIL = "dummymail://" if PUBLIC_URL.startswith("https://") else "consolemail://"
vars().update(env.email_url_config(env.str("EMAIL_URL", default="") or _NO_MAIL))
EMAIL_TIMEOUT = 5  # seconds; an invitation waits for its mail
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", default="Guidepost <guidepost@localhost>")

# Key-encryption keys, `id:base64` of 32 bytes each, by commas: what is stored is sealed under them.
# The first seals; the others still open. See docs/security.md before changing it.
ENCRYPTION_KEYS = env.str("ENCRYPTION_KEYS")

# --- The audit log --------------------------------------------------------------------------

# For the process that pumps and for `audit_verify` alone. Without a file there are no anchors.
AUDIT_ANCHOR_FILE = env.str("AUDIT_ANCHOR_FILE", default="")
AUDIT_ANCHOR_KEY = env.str("AUDIT_ANCHOR_KEY", default="")  # signs each line
AUDIT_ANCHOR_OLD_KEYS = env.list("AUDIT_ANCHOR_OLD_KEYS", default=[])  # still verify old lines

# --- The API --------------------------------------------------------------------------------

GUIDELINE_MAX_BYTES = 1_048_576
# JSON may escape a byte of text as six; the rest is metadata.
DATA_UPLOAD_MAX_MEMORY_SIZE = 6 * GUIDELINE_MAX_BYTES + 65_536
DOCUMENT_MAX_BYTES = 10_485_760  # of a file; what is read from it is a guideline like any other
FILE_UPLOAD_HANDLERS = ["config.parsers.InMemoryHandler"]  # of pages, too
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Guidepost",
    "DESCRIPTION": (BASE_DIR / "config" / "introduction.md").read_text(),
    "TAGS": [  # in the order of a reader who is new
        {"name": "Tokens", "description": "What every request carries, and how to get it."},
        {"name": "Jobs", "description": "A guideline is submitted, watched, and done again."},
        {"name": "Exports", "description": "A checklist to take away."},
        {"name": "Usage", "description": "What applies, what is left, and what was used."},
        {"name": "Keys", "description": "The credentials of programs."},
        {"name": "Members", "description": "People of a tenant, and who is invited."},
        {"name": "Sessions", "description": "Programs that act in a person's name."},
        {"name": "Settings", "description": "How a tenant wants its jobs done."},
        {"name": "Audit", "description": "Who did what."},
        {"name": "Health", "description": "For whoever runs the service."},
    ],
    "VERSION": APP_VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": "{deepLinking: true, plugins: [withoutConsent]}",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "UsageGroup": ["day", "key", "model"],
        "JobStatus": "jobs.models.JobStatus.choices",
        "KeyStatus": "tenants.serializers.KEY_STATUSES",
        "Role": "tenants.models.Role.choices",
        "Scope": "tenants.models.Scope.choices",
        "JobPriority": "jobs.serializers.PRIORITIES",
        "ItemPriority": "jobs.result_schema.PRIORITIES",
        "Level": "jobs.result_schema.LEVELS",
        "ActorKind": "tenants.models.ActorKind.choices",
        "FlagKind": "jobs.result_schema.FLAGS",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tenants.openapi.describe_limits",
        "config.openapi.describe_problems",
        "config.openapi.close_bodies",
    ],
}

# --- Jobs -----------------------------------------------------------------------------------

# A worker holds a job for so long; it renews four times in that span.
JOB_LEASE = timedelta(seconds=env.float("JOB_LEASE_SECONDS", default=15))
# One step of the chain ends within this, if its calls run all at a time. A long guideline's step
# makes more calls than that: it has jobs.model_loop.CALL_SECONDS more for each further round.
JOB_STEP_TIMEOUT = timedelta(seconds=env.float("JOB_STEP_SECONDS", default=600))

# --- The model ------------------------------------------------------------------------------

OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")
OFFLINE_MODEL_URL = env.str("OFFLINE_MODEL_URL", default="http://127.0.0.1:8125/v1")
OPENAI_MODEL = env.str(
    "OPENAI_MODEL", default="gpt-4.1-mini" if OPENAI_API_KEY else "guidepost-offline-1"
)

# What else jobs may be run with, by commas; OPENAI_MODEL is the first of them all, and the default.
MODELS = env.list("MODELS", default=[])
# Where a tenant may bring a key of its own: {"name": "https://..."}. It says a name, no address.
PROVIDERS = env.json("PROVIDERS", default={"openai": "https://api.openai.com/v1"})

# Dollars per million tokens, by model; what is not listed costs nothing, so money limits nobody.
# {"gpt-4.1-mini": {"prompt": 0.40, "completion": 1.60}}
MODEL_PRICES = env.json("MODEL_PRICES", default={})

# --- Pages ----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Files are served from the packages they ship in: no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False  # nobody else's pages use our files

HTTPS = PUBLIC_URL.startswith("https://")
# Proxies in front of us that add to X-Forwarded-For and set X-Forwarded-Proto. Without one, what
# these headers say is a stranger's word.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # probes come from next door
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", default=True)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if HTTPS else []
CSRF_FAILURE_VIEW = "config.problems.csrf_failure"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
# A cookie with this prefix is taken only over TLS, from this very host, for all of its paths.
COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}session"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # Strict: links in mails find nobody in
SESSION_COOKIE_AGE = 43_200  # a working day
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
# The other headers, and the policy of what is no page: config/headers.py.
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "config.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"level": "ERROR"},  # our own line says what every request got
        "httpx2": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
