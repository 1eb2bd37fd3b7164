"""Mails to people: a subject, and a template of plain text."""

from collections.abc import Iterable
from smtplib import SMTPException

from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from config.errors import DomainError


class MailUnavailable(DomainError):
    code = "mail_unavailable"
    title = "The mail could not be sent"
    status = 503
    detail = "Nothing was changed. Try again in a few minutes."


def send(template: str, to: Iterable[str], *, subject: str, **context: object) -> None:
    """Sends templates/mail/<template>.txt, one mail for all. Raises MailUnavailable."""
    body = render_to_string(f"mail/{template}.txt", context)
    # A name from a stranger may hold a line break; a subject may not.
    message = EmailMessage(" ".join(subject.split()), body, to=list(to))
    try:
        message.send()
    except (OSError, SMTPException) as error:
        raise MailUnavailable(headers={"Retry-After": "60"}) from error
