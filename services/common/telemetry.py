"""Logs and the request id that ties them together."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

import orjson

from services.common.ids import new_id

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Returns the id of the call being served, or an empty string outside of one."""
    return _request_id.get()


def begin_request(given: str | None) -> str:
    """Takes over the caller's request id, or makes one."""
    value = given[:64] if given else str(new_id())
    _request_id.set(value)
    return value


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields given as `extra={"data": {...}}` are merged in."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id():
            line["request_id"] = request_id()
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            line.update(data)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging(level: str) -> None:
    """Sends all logs of the process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("procrastinate", "alembic", "httpx"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
