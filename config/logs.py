"""One JSON object a line: a fixed event name and its fields."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Nobody logs a secret on purpose; a caller may still write one where it is logged, as in a path.
# JSON web tokens, the secrets of API keys, keys of model providers. Takes time in proportion to the
# line.
_SECRET = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,4000}\.[\w-]{8,1000}|gps_[\w-]{20,200}"
    r"|(?<![\w-])sk-[\w-]{16,300}"
)
# Addresses that let whoever has them in; they stand in mails, and in no line of ours.
_SECRET_PATHS = re.compile(
    r"(/accounts/invitations/|/accounts/password/reset/key/|/accounts/confirm-email/)[^/\"'\\\s]+"
)
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`extra={...}` of a log call become fields; the request id is added where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = _SECRET.sub("[secret]", json.dumps(line, default=str, ensure_ascii=False))
        return _SECRET_PATHS.sub(r"\1…", text)
