"""What messages are made of: the incident as it is now, and what the run that they come from has found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from storage import alerts, database, runs, settings, stages
from storage.notifications import ClaimedNotification
from storage.records import AnalyzeResult, ChecksResult, IncidentAnalysis, IncidentView
from storage.vocabulary import Stage
from tasks.notify.message import Notification, compose


@dataclass(frozen=True)
class Found:
    """What a run has found: its checks, its analyses by incident, and links to it."""

    checks: ChecksResult | None = None
    analyses: Mapping[int | None, IncidentAnalysis] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the messages of a try are made of."""

    incidents: Mapping[int, IncidentView]
    found: Mapping[str, Found]

    def message(self, claimed: ClaimedNotification) -> Notification:
        """The message that is to be sent."""
        found = self.found.get(claimed.run_id, Found())
        checks = found.checks
        return compose(
            incident=self.incidents[claimed.incident_id],
            reason=claimed.reason,
            checks=checks.checks if checks else [],
            hostname=checks.hostname if checks else "",
            evidence=checks.evidence if checks else {},
            analysis=found.analyses.get(claimed.incident_id),
            links=found.links,
            trace_id=claimed.trace_id,
            run_id=claimed.run_id,
            channel=claimed.channel,
            instead_of=claimed.instead_of,
            idempotency_key=claimed.idempotency_key,
        )


def gather(claimed: Iterable[ClaimedNotification]) -> Facts:
    """The facts for these messages."""
    messages = list(claimed)
    with database.get().read() as session:
        return Facts(
            incidents=alerts.view_incidents(session, {message.incident_id for message in messages}),
            found={run_id: _found(session, run_id) for run_id in {message.run_id for message in messages}},
        )


def _found(session: Session, run_id: str) -> Found:
    run = runs.find_run(session, run_id) if run_id else None
    if run is None:
        return Found()
    current = settings.load()
    links = {"run": f"{current.web_url}/orchestration/pipeline/{run_id}/"}
    if flow_run_url := current.flow_run_url(run.flow_run_id):
        links["prefect"] = flow_run_url
    outputs = stages.outputs_of(session, run.id).values()
    checks = [ChecksResult.model_validate(each) for each in outputs if each.get("stage") == Stage.CHECK]
    analyzed = [AnalyzeResult.model_validate(each) for each in outputs if each.get("stage") == Stage.ANALYZE]
    return Found(
        checks=checks[-1] if checks else None,
        analyses={analysis.incident_id: analysis for result in analyzed for analysis in result.analyses},
        links=links,
    )
