"""Log lines of our processes: time, level, logger, event, and the event's fields."""

import logging
import os
import sys

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldFormatter(logging.Formatter):
    """Writes what a call gave in `extra` as key=value after the event."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        line = super().format(record)
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD}
        head, newline, rest = line.partition("\n")
        return " ".join([head, *(f"{key}={value}" for key, value in fields.items())]) + newline + rest


def set_up(level: str | None = None) -> None:
    """Log to standard error, at WATCHKEEPER_LOG_LEVEL (INFO)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("watchkeeper")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level or os.environ.get("WATCHKEEPER_LOG_LEVEL", "INFO").upper())
