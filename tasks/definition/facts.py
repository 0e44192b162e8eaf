"""What conditions are held against: the run, the incidents that it tells of, and what its nodes left behind."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts, incidents, stages
from storage.records import ChecksResult, IncidentChange, IngestResult
from storage.tables import Incident, PipelineRun
from storage.vocabulary import LIVE_INCIDENT, AlertStatus, NotificationReason, Stage
from tasks.transform.view import view_of, view_of_failure

_FINDERS: dict[str, type[IngestResult | ChecksResult]] = {Stage.INGEST: IngestResult, Stage.CHECK: ChecksResult}


def gather_facts(session: Session, run: PipelineRun, names: Collection[str]) -> dict[str, Any]:
    """The named facts of a run as JSON values; see `condition` for what each is.

    `severity` is the worst of the incidents that the run has news of, else of the run's own incident; `status` is
    firing where one of those goes on firing, else resolved. Both are empty for a run that has none.
    """
    outputs = stages.outputs_of(session, run.id)
    facts: dict[str, Any] = {"source": run.source, "environment": run.environment}
    if {"severity", "status"} & set(names):
        facts |= _of_incidents(session, run, outputs)
    if "labels" in names:
        facts["labels"] = _labels(session, run)
    if "outputs" in names:
        facts["outputs"] = views_of(session, run.id, outputs)
    return facts


def views_of(session: Session, run_pk: int, outputs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Every node's output by id, as conditions see it; that of one that failed for good says so."""
    failed = stages.failed_of(session, run_pk)
    views = {node_id: view_of(output) for node_id, output in outputs.items()}
    return views | {node_id: view_of_failure(row.error_message) for node_id, row in failed.items()}


def _of_incidents(session: Session, run: PipelineRun, outputs: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    changes = _changes(outputs)
    own = {run.incident_id} if run.incident_id else set()
    found = list(incidents.by_ids(session, {change.incident_id for change in changes} or own).values())
    if not found:
        return {"severity": "", "status": ""}
    worst = max((incident.severity for incident in found), key=lambda severity: severity.rank)
    is_firing = (
        any(change.reason is not NotificationReason.RESOLVED for change in changes)
        if changes
        else any(map(_is_live, found))
    )
    return {"severity": worst, "status": AlertStatus.FIRING if is_firing else AlertStatus.RESOLVED}


def _is_live(incident: Incident) -> bool:
    return incident.status in LIVE_INCIDENT


def _changes(outputs: Mapping[str, dict[str, Any]]) -> list[IncidentChange]:
    found = [(_FINDERS.get(str(output.get("stage"))), output) for output in outputs.values()]
    results = [finder.model_validate(output) for finder, output in found if finder]
    return [change for result in results for change in result.changes]


def _labels(session: Session, run: PipelineRun) -> dict[str, str]:
    """Those of the run's gravest alert; where it is of several sources, of its incident's."""
    named = alerts.known_alerts(session, source=run.source, fingerprints=[run.alert_fingerprint])
    if run.alert_fingerprint in named:
        return named[run.alert_fingerprint].labels
    first = alerts.first_alerts(session, run.incident_id, limit=1) if run.incident_id else []
    return first[0].labels if first else {}
