"""Log lines of our processes: time, level, logger, event, and the event's fields, as text or as JSON.

What a run's tasks and threads log carries its trace_id and run_id, also what Prefect's engine says in its course.
Signals are a line of JSON each in both formats, so that a collector need only look for lines that begin with `{`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from storage import settings
from storage.log_fields import run_fields
from storage.redaction import redact, redact_text
from storage.settings import Settings

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What Prefect's loggers add for themselves.
NOT_TOLD = STANDARD | {"send_to_api"}


class FieldFormatter(logging.Formatter):
    """Writes what a call gave in `extra` as key=value after the event."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        head, newline, rest = super().format(record).partition("\n")
        shown = (f"{key}={_on_one_line(value)}" for key, value in _fields(record).items())
        return redact_text(" ".join([head, *shown]) + newline + rest)


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: time, level, logger, event, and the fields beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": redact_text(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = redact_text(self.formatException(record.exc_info))
        fields = {key: value for key, value in _fields(record).items() if key not in line}
        return _as_json({**line, **fields})


def set_up(current: Settings | None = None) -> None:
    """Log to standard error, by WATCHKEEPER_LOG_LEVEL and WATCHKEEPER_LOG_FORMAT. Raises SettingsError."""
    current = current or settings.load()
    as_text = FieldFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler = _handler(JsonFormatter() if current.log_format == "json" else as_text)
    ours = logging.getLogger("watchkeeper")
    # Prefect writes to the root's handler, in a form that says nothing of the run.
    ours.handlers = logging.getLogger().handlers = [handler]
    ours.propagate = False
    ours.setLevel(current.log_level)
    signals = logging.getLogger("watchkeeper.signals")
    signals.handlers = [_handler(JsonFormatter())]
    signals.propagate = False
    # Whoever wants no signals among the lines sends them to statsd.
    signals.setLevel(logging.INFO)


def _handler(formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    return handler


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = {key: value for key, value in vars(record).items() if key not in NOT_TOLD}
    shown: dict[str, Any] = redact({**(run_fields.get() or {}), **given})
    return shown


def _as_json(line: dict[str, Any]) -> str:
    """JSON that every collector reads: where a value has no place in it, all are written as Python's text."""
    try:
        return json.dumps(line, default=str, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps({key: str(value) for key, value in line.items()}, ensure_ascii=False)


def _on_one_line(value: Any) -> str:
    return str(value).replace("\r", "\\r").replace("\n", "\\n")
