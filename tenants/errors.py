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
