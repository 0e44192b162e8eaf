"""Requests for an analysis, for tests: an incident with alerts as a stage reads them from the database."""

import json
from datetime import UTC, datetime
from typing import Any

from storage.records import AlertView, IncidentView
from tasks.analyze.prompt import Prompt
from tasks.analyze.request import AnalysisRequest

STARTED = datetime(2026, 9, 14, 3, 0, tzinfo=UTC)


def make_alert(**values: Any) -> AlertView:
    """A disk that fills up on db-1, where nothing else is said."""
    fields: dict[str, Any] = {
        "id": 4711,
        "source": "alertmanager",
        "fingerprint": "f1n6e7p71n7",
        "name": "DiskFull",
        "status": "firing",
        "severity": "critical",
        "description": "",
        "labels": {"host": "db-1"},
        "annotations": {},
        "started_at": STARTED,
        "ended_at": None,
    }
    return AlertView.model_validate(fields | values)


def make_incident(*alerts: AlertView, **values: Any) -> IncidentView:
    """An open incident of these alerts."""
    fields: dict[str, Any] = {
        "id": 8642,
        "title": "DiskFull",
        "status": "open",
        "severity": "critical",
        "description": "",
        "episode": 1,
        "started_at": STARTED,
        "resolved_at": None,
        "environment": "",
        "alert_count": len(alerts),
        "firing_alert_count": len(alerts),
        "severity_counts": {},
        "truncated_alerts": 0,
        "alerts": list(alerts),
    }
    return IncidentView.model_validate(fields | values)


def make_request(*alerts: AlertView, **values: Any) -> AnalysisRequest:
    """A question about an incident of these alerts, or of one."""
    return AnalysisRequest.model_validate({"incident": make_incident(*(alerts or [make_alert()]))} | values)


def data_of(prompt: Prompt) -> dict[str, Any]:
    """What stands between the data tags, read as JSON."""
    first, *lines, last, _ = prompt.text.split("\n")
    assert (first[:6], last) == ("<data-", f"</{first[1:]}")
    data: dict[str, Any] = json.loads("\n".join(lines))
    return data
