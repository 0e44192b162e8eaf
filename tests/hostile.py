"""Texts that would run in a careless page, put into every part of what a monitoring system sends."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mutations import places, replaced
from sqlalchemy import Enum, String, Text, select
from sqlalchemy.orm import Session

from storage.tables.base import Base
from tasks.ingest.sources import parse
from tasks.ingest.sources.base import UnreadablePayloadError

# Short, so that no limit cuts it; run in any way, it leaves its mark on the window.
SCRIPT = "<script>window.ran=1</script>"
ATTRIBUTE = "\"'><img src=x onerror=window.ran=1>"
ADDRESS = "javascript:window.ran=1"
FORMULA = "=HYPERLINK(1)"
TEXT = f"{SCRIPT}{ATTRIBUTE}</textarea></title></pre>{{{{7*7}}}}"

# One alert with everything that an alert can have; and it is valid.
ALERT: dict[str, Any] = {
    "name": f"name {TEXT}",
    "description": f"description {TEXT}",
    "severity": "critical",
    "fingerprint": f"fingerprint {TEXT}",
    "environment": f"environment {SCRIPT}",
    "host": f"host {TEXT}",
    "labels": {f"key {TEXT}": f"label {TEXT}", "host": f"db {SCRIPT}", "instance": ATTRIBUTE, "team": FORMULA},
    "annotations": {"runbook_url": ADDRESS, f"key {TEXT}": f"annotation {TEXT}", "summary": f"summary {TEXT}"},
    "runbook_url": ADDRESS,
    "dashboard_url": f"https://example.org/{TEXT}",
    "url": f"{ADDRESS}//https://example.org",
    "other": {f"key {TEXT}": [f"other {TEXT}"]},
}


def poisoned_samples(payloads: Path) -> Iterator[tuple[str, Any]]:
    """A sample of each vendor's, with the texts in each part that the vendor's source takes them in."""
    for folder in sorted(path for path in payloads.iterdir() if path.is_dir() and path.name != "nasty"):
        sample = min(folder.glob("*.json"))
        yield folder.name, _poisoned(folder.name, json.loads(sample.read_bytes()))


def poison_rows(session: Session, tables: Iterable[type[Base]], *, but: frozenset[str]) -> None:
    """Put the texts into every column of these tables that can hold one, `but` some, named `table.column`."""
    for table in tables:
        columns = [each for each in table.__table__.columns if f"{table.__tablename__}.{each.name}" not in but]
        for row in session.scalars(select(table)):
            for column in columns:
                value = getattr(row, column.key)
                if isinstance(value, dict | list):
                    setattr(row, column.key, _poisoned_value(value))
                elif (
                    isinstance(column.type, String | Text)
                    and not isinstance(column.type, Enum)
                    and value is not None
                ):
                    setattr(row, column.key, f"{value}{TEXT}")


def _poisoned_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _poisoned_value(each) for name, each in value.items()} | {TEXT: TEXT, "url": ADDRESS}
    if isinstance(value, list):
        return [_poisoned_value(each) for each in value]
    return f"{value}{TEXT}" if isinstance(value, str) else value


def _poisoned(source: str, payload: Any) -> Any:
    firing = _reads(source, payload)
    for place in places(payload):
        part = _at(payload, place)
        if not isinstance(part, str):
            continue
        text = f"{ADDRESS}//{part}" if part.startswith("http") else f"{part} {TEXT}"
        changed = replaced(payload, place, text)
        if _reads(source, changed) == firing:
            payload = changed
    return payload


def _reads(source: str, payload: Any) -> tuple[int, int] | None:
    """How many alerts and faults are in it, as its source has it; None where that cannot read it."""
    try:
        parsed = parse(payload, source=source)
    except UnreadablePayloadError:
        return None
    return len(parsed.alerts), len(parsed.faults)


def _at(value: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        value = value[key]
    return value
