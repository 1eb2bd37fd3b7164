"""Refusals that more than one door of this app gives."""

from config.errors import DomainError


class TokenReused(DomainError):
    """Whoever brings a used refresh token or code, one of two holders of it is a thief."""

    code = "token_reuse"
    title = "A token of this session was used twice"
    status = 400
    detail = (
        "So somebody may hold a copy: the session is ended, and every token of it. Sign in again."
    )


class SessionEndedByReuse(TokenReused):
    """What an access token of such a session meets."""

    status = 401


class TooManyStreams(DomainError):
    code = "too_many_streams"
    title = "Too many answers are open"
    status = 429
    detail = (
        "A tenant may have 100 event streams and waiting requests open in one web process, all"
        " tenants 1,000. Close some, or ask without `Prefer: wait`."
    )
