"""The page that the `type` of every problem leads to."""

from typing import Any

from django.views.generic import TemplateView

from config.errors import DomainError
from config.problems import KNOWN, OTHER
from jobs.errors import SAFE_DETAIL

# Of codes whose detail differs from one answer to the next: what is to be done with all of them.
ABOUT = {
    "body_too_large": "The detail says how large a body may be here. Send a guideline in parts, or"
    " as a file.",
    "bound_key": "The detail names what binds the calling key. Ask for that or less, or have a"
    " person who manages keys do it.",
    "document_too_large": "A guideline's text may have up to 1 MB (1,048,576 bytes of UTF-8). Send"
    " it in parts, each as a job of its own.",
    "file_too_large": "A file may have up to 10 MB. Leave out pictures, or send its text.",
    "forbidden": "Your role does not allow it, whatever the token's scopes. An owner or admin of"
    " the tenant can do it, or give you another role.",
    "impossible_action": "Retry what has FAILED, was CANCELLED or EXPIRED; cancel what waits or"
    " runs. The detail names the states.",
    "insufficient_scope": "The detail names the scope. Ask for it at POST /oauth/token; if the key"
    " or the role does not hold it, an owner or admin has to give it.",
    "invalid_request": "The detail names what is missing or too much. What each grant needs stands"
    " at POST /oauth/token.",
    "invalid_scope": "Leave `scope` out to get all that the key or the session holds; `GET /me`"
    " says which those are.",
    "invalid_token": "Get a new token from POST /oauth/token. If that is refused too, the key or"
    " the session has ended.",
    "invalid_transition": "`job_status` says where the job stands. What has ended cannot be"
    " cancelled; only FAILED, CANCELLED and EXPIRED jobs can be retried.",
    "malformed_body": "The detail says what could not be read, and where. Send JSON in UTF-8 with"
    " each name once.",
    "model_not_allowed": "The detail names the models you may use, as GET /limits does. Choose one"
    " of them, or leave `model` out.",
    "no_result": "Only COMPLETED jobs that are not deleted are compared; the detail names the one"
    " that is not.",
    "not_completed": "Ask again once GET /jobs/{event_id} says COMPLETED. A job that has ended"
    " without a result can be retried.",
    "quota_exceeded": "`quota` names the budget and `resets_at` says when it begins anew; GET"
    " /limits shows what is left. Submit again then, or ask for a larger plan.",
    "rate_limited": "Wait for as many seconds as `Retry-After` says, then send the same request."
    " The headers `RateLimit` and `RateLimit-Policy` tell beforehand.",
    "too_many_attempts": "Wait for as many seconds as `Retry-After` says. Passwords, codes and"
    " secrets are not guessed fast here, not even by their owner.",
    "too_many_waiting": "Submit again when some of your jobs have started; `Retry-After` says when"
    " to look. `allowed` is how many may wait.",
    "unknown_prompt": "The detail names the versions there are. Leave `prompts` out to get the"
    " current ones.",
    "unknown_provider": "The detail names the providers of this installation: choose one of them.",
    "unsupported_or_unsafe_file": "The detail says what is wrong with the file. PDF, Word (DOCX),"
    " HTML, Markdown and plain text are taken, without macros, passwords or other files inside.",
}


class ErrorCodesView(TemplateView):
    template_name = "error_codes.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        refusals = {e.code: (e.title, e.detail) for e in DomainError.__subclasses__()}
        known = {code: (title, detail) for code, title, detail in KNOWN.values()}
        found = sorted((refusals | known | OTHER).items())
        problems = [(code, title, ABOUT.get(code, detail)) for code, (title, detail) in found]
        failures = sorted(SAFE_DETAIL.items())
        return super().get_context_data(problems=problems, failures=failures, **kwargs)
