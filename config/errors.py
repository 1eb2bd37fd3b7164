"""Refusals that are part of the contract: a stable code, a title, an HTTP status."""


class DomainError(Exception):
    """Raised by services, turned into a problem by `config.problems`.

    code    stable slug, part of the API
    title   the same for every occurrence
    detail  what happened here and what to do; shown to the caller, so it holds no secrets
    extra   further members of the problem document, such as {"limit": 600}
    """

    code = "refused"
    title = "The request was refused"
    status = 409
    detail = ""

    def __init__(self, detail: str = "", headers: dict[str, str] | None = None, **extra: object):
        super().__init__(detail or self.detail or self.title)
        self.detail = detail or self.detail
        self.headers = headers or {}
        self.extra = extra


class LengthRequired(DomainError):
    code = "length_required"
    title = "The request does not say how long its body is"
    status = 411
    detail = "Send Content-Length instead of Transfer-Encoding: chunked."
