"""What messages are made of: the incident as it is now, and what the run that they come from has found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from storage import alerts, database, news, runs, settings, stages
from storage.notifications import ClaimedNotification
from storage.records import AnalyzeResult, ChecksResult, IncidentAnalysis, IncidentView, News
from storage.vocabulary import FOLLOW_UPS, NotificationReason, Stage
from tasks.notify.message import Notification, compose

TELLS_NEWS = (NotificationReason.ESCALATED, *FOLLOW_UPS)


# What reading rows raises that do not hold what they should; a database that is away raises others.
ODD_DATA = (ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class Found:
    """What a run has found: its checks, its analyses by incident, links to it, its transform nodes' outputs."""

    checks: ChecksResult | None = None
    analyses: Mapping[int | None, IncidentAnalysis] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the messages of a try are made of. `faults`: the incidents and runs that could not be read, and why."""

    incidents: Mapping[int, IncidentView]
    found: Mapping[str, Found]
    news: Mapping[int, News] = field(default_factory=dict)
    faults: Mapping[int | str, Exception] = field(default_factory=dict)

    def message(self, claimed: ClaimedNotification) -> Notification:
        """The message that is to be sent. Raises what made its incident's data unreadable."""
        if fault := self.faults.get(claimed.incident_id) or self.faults.get(claimed.run_id):
            raise fault
        found = self.found.get(claimed.run_id, Found())
        checks = found.checks
        return compose(
            incident=self.incidents[claimed.incident_id],
            reason=claimed.reason,
            checks=checks.checks if checks else [],
            hostname=checks.hostname if checks else "",
            evidence=checks.evidence if checks else {},
            analysis=found.analyses.get(claimed.incident_id),
            links=_incident_link(claimed.incident_id) | dict(found.links),
            outputs=found.outputs,
            trace_id=claimed.trace_id,
            run_id=claimed.run_id,
            channel=claimed.channel,
            instead_of=claimed.instead_of,
            episode=claimed.episode,
            news=self.news.get(claimed.pk),
            idempotency_key=claimed.idempotency_key,
        )


def gather(claimed: Iterable[ClaimedNotification]) -> Facts:
    """The facts for these messages."""
    messages, faults = list(claimed), dict[int | str, Exception]()
    with database.get().read() as session:
        incidents = _views(session, {message.incident_id for message in messages}, faults)
        found: dict[str, Found] = {}
        for run_id in {message.run_id for message in messages}:
            try:
                found[run_id] = _found(session, run_id)
            except ODD_DATA as error:
                faults[run_id] = error
        told = {each.pk: news.find_news(session, each) for each in messages if each.reason in TELLS_NEWS}
    return Facts(incidents, found, told, faults)


def _views(session: Session, ids: set[int], faults: dict[int | str, Exception]) -> dict[int, IncidentView]:
    """All at once; one by one where one of them has odd data, so that only its own messages suffer."""
    try:
        return alerts.view_incidents(session, ids)
    except ODD_DATA as error:
        if len(ids) == 1:
            faults[ids.pop()] = error
            return {}
    return {pk: view for each in ids for pk, view in _views(session, {each}, faults).items()}


def _incident_link(incident_id: int) -> dict[str, str]:
    """Where the console explains it (webhook_app/console)."""
    return {"incident": f"{settings.load().web_url}/admin/incidents/details/?id={incident_id}"}


def _found(session: Session, run_id: str) -> Found:
    run = runs.find_run(session, run_id) if run_id else None
    if run is None:
        return Found()
    current = settings.load()
    links = {"run": f"{current.web_url}/admin/run/{run_id}/"}
    if flow_run_url := current.flow_run_url(run.flow_run_id):
        links["prefect"] = flow_run_url
    by_node = stages.outputs_of(session, run.id)
    outputs = by_node.values()
    checks = [ChecksResult.model_validate(each) for each in outputs if each.get("stage") == Stage.CHECK]
    analyzed = [AnalyzeResult.model_validate(each) for each in outputs if each.get("stage") == Stage.ANALYZE]
    return Found(
        checks=checks[-1] if checks else None,
        analyses={analysis.incident_id: analysis for result in analyzed for analysis in result.analyses},
        links=links,
        outputs={node_id: output for node_id, output in by_node.items() if output.get("stage") == Stage.TRANSFORM},
    )
