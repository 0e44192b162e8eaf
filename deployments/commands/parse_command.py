"""`watchkeeper parse`: what a webhook's body would become. It touches nothing."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from storage.records import ParsedAlert, ParsedPayload
from storage.redaction import redact
from storage.settings import load
from storage.storable import storable_text
from storage.vocabulary import Severity
from tasks.ingest import sources
from tasks.ingest.body import FORM_TYPE, BodyError, read_body
from tasks.ingest.sources.base import UnreadablePayloadError

# What an alert is stored with when its payload says none.
SEVERITY = Severity.WARNING


class _RefusedError(Exception):
    """There is nothing to parse; the message says why."""


def parse(
    # A leading hyphen, because - is one.
    file: Annotated[
        str, Parameter(help="A file with the body; - is standard input.", allow_leading_hyphen=True)
    ] = "-",
    /,
    *,
    source: Annotated[str, Parameter(help="Read it as this source's; without it that is found out.")] = "",
) -> int:
    """Parse and print. The help text stands in cli.py."""
    named = source if source in sources.SOURCES else ""
    try:
        parsed = _parse(file, source)
    except (_RefusedError, BodyError, UnreadablePayloadError) as error:
        reason = storable_text(str(error))
        return _report(_as_json(named, [], [reason]), reason=reason)
    errors = [f"{fault.place}: {fault.reason}" for fault in parsed.faults]
    is_lost = bool(errors) and not parsed.alerts
    return _report(
        _as_json(parsed.source, parsed.alerts, errors),
        reason=f"no alert could be read; {errors[0]}" if is_lost else "",
        remark=parsed.remark,
    )


def _parse(file: str, source: str) -> ParsedPayload:
    if source and source not in sources.SOURCES:
        raise _RefusedError(f"unknown source {source!r}; one of {', '.join(sources.SOURCES)}")
    # A file has no Content-Type. JSON is tried first all the same.
    body = read_body(_read(file), FORM_TYPE)
    return sources.parse(body, source=source, zones=load().source_timezones)


def _read(file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            sys.stderr.write("watchkeeper: type or paste the body, then Ctrl-D\n")
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise _RefusedError(f"{file}: {error.strerror}; name a file, or - for standard input") from None


def _as_json(source: str, alerts: list[ParsedAlert], errors: list[str]) -> dict[str, Any]:
    return {"source": source or None, "alerts": [_alert_as_json(alert) for alert in alerts], "errors": errors}


def _alert_as_json(alert: ParsedAlert) -> dict[str, Any]:
    fields = {
        "name": alert.name,
        "severity": alert.severity or SEVERITY,
        "raw_severity": alert.raw_severity,
        "status": alert.status,
        "fingerprint": alert.fingerprint,
        "started_at": _rfc_3339(alert.started_at),
        "ended_at": _rfc_3339(alert.ended_at),
        "lifecycle": alert.lifecycle,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "description": alert.description,
    }
    return dict(redact(fields))


def _rfc_3339(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    is_short = moment.microsecond % 1000 == 0
    timespec = "microseconds" if not is_short else "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _report(form: dict[str, Any], *, reason: str, remark: str = "") -> int:
    """Print the form; on standard error why there is nothing in it. Returns the exit code."""
    # As bytes: the terminal's encoding may not know every character.
    sys.stdout.buffer.write(json.dumps(form, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    sys.stdout.buffer.flush()
    if reason or remark:
        sys.stderr.write(f"watchkeeper: {reason or remark}\n")
    return 1 if reason else 0
