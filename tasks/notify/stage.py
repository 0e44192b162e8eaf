"""The notify stage: one message per (channel, incident, episode, reason), written before it is sent."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy.orm import Session

from storage import alerts, channels, database, incidents, notifications, runs, settings
from storage.notifications import ClaimedNotification
from storage.records import (
    AnalyzeResult,
    ChannelConfig,
    ChecksResult,
    DeliveryOutcome,
    IncidentAnalysis,
    IncidentChange,
    IncidentView,
    NotifyResult,
)
from storage.redaction import redact_text
from storage.tables import Notification, PipelineRun
from storage.vocabulary import LIVE_INCIDENT, NotificationReason, NotificationStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.errors import PermanentError, TransientError, is_retryable
from tasks.notify.channels import build
from tasks.notify.channels.base import Channel
from tasks.notify.message import compose

log = logging.getLogger("watchkeeper.notify")

SENDERS = 8


class NotifyConfig(BaseModel, extra="forbid"):
    """Which channels are told: those named, those of the drivers named, or every active one."""

    channels: list[str] | None = None
    drivers: list[str] | None = None
    driver: str | None = None

    def selects(self, channel: ChannelConfig) -> bool:
        """Whether the channel is to be told."""
        drivers = [*(self.drivers or []), *([self.driver] if self.driver else [])]
        if self.channels is None and not drivers:
            return True
        return channel.name in (self.channels or ()) or channel.driver in drivers


@dataclass(frozen=True)
class Facts:
    """What the messages of a run are made of."""

    context: StageContext
    incidents: Mapping[int, IncidentView]
    checks: ChecksResult | None
    analyses: Mapping[int | None, IncidentAnalysis]
    links: Mapping[str, str]


def work(context: StageContext) -> NotifyResult:
    """Send what is not sent yet. Raises TransientError while another attempt may deliver more.

    Raises PermanentError when there is no channel to tell, or when every channel failed for good.
    """
    changes = context.changes()
    chosen = _choose_channels(context)
    _tell(context, chosen, changes)
    overtaken = _ended_meanwhile(changes)
    _tell(context, chosen, overtaken)
    outcomes = _outcomes(context, [*changes, *overtaken], {channel.name for channel in chosen})
    _raise_unless_told(context, outcomes)
    return _result(context, outcomes)


def store(session: Session, context: StageContext, result: NotifyResult) -> NotifyResult:
    """The messages are recorded one by one while they go out; the run only points to them."""
    run = session.get_one(PipelineRun, context.run.pk)
    run.notify_output_ref = result.notify_output_ref
    return result


def _choose_channels(context: StageContext) -> list[ChannelConfig]:
    with database.get().read() as session:
        active = channels.active_channels(session)
    chosen = [channel for channel in active if context.config.selects(channel)]
    if not chosen:
        wanted = context.config.model_dump(exclude_none=True)
        detail = f"; the node asks for {wanted}" if wanted else ""
        raise PermanentError(f"no active notification channel{detail}: add one with `watchkeeper channels add`")
    return chosen


def _tell(context: StageContext, chosen: Sequence[ChannelConfig], changes: Sequence[IncidentChange]) -> None:
    claimed = _reserve_and_claim(context, chosen, changes) if changes else []
    if claimed:
        built, refused = _build_channels(chosen)
        facts = _gather_facts(context, {message.incident_id for message in claimed})
        _send_all(facts, claimed, built, refused)


def _ended_meanwhile(changes: Sequence[IncidentChange]) -> list[IncidentChange]:
    """The ends that a quicker run did not tell, because their beginnings were on their way here."""
    told = {(change.incident_id, change.episode, change.reason) for change in changes}
    with database.get().read() as session:
        ids = {change.incident_id for change in changes if change.reason is NotificationReason.FIRING}
        ended = [each for each in incidents.by_ids(session, ids).values() if each.status not in LIVE_INCIDENT]
        found = [
            IncidentChange(incident_id=each.id, episode=each.episode, reason=NotificationReason.RESOLVED)
            for each in ended
            if (each.id, each.episode, NotificationReason.FIRING) in told
        ]
    return [change for change in found if (change.incident_id, change.episode, change.reason) not in told]


def _reserve_and_claim(
    context: StageContext, chosen: Sequence[ChannelConfig], changes: Sequence[IncidentChange]
) -> list[ClaimedNotification]:
    """Write the rows that are missing and take the unsent ones. Resolved goes only where firing went or goes."""
    names = {channel.name for channel in chosen}
    with database.get().write() as session:
        runs.check_fence(session, run_pk=context.run.pk, fence=context.run.fence)
        firing = [c for c in changes if c.reason is NotificationReason.FIRING]
        ended = [c for c in changes if c.reason is NotificationReason.RESOLVED]
        told = notifications.told_channels(session, ended)
        told |= {(name, c.incident_id, c.episode) for name in names for c in firing}
        pairs = [(channel, change) for change in firing for channel in chosen]
        pairs += [
            (channel, change)
            for change in ended
            for channel in chosen
            if (channel.name, change.incident_id, change.episode) in told
        ]
        notifications.reserve(session, pairs, run_id=context.run.run_id, trace_id=context.run.trace_id)
        return notifications.claim(_own(context, notifications.of_changes(session, changes), names))


def _build_channels(chosen: Iterable[ChannelConfig]) -> tuple[dict[str, Channel], dict[str, Exception]]:
    built: dict[str, Channel] = {}
    refused: dict[str, Exception] = {}
    for channel in chosen:
        try:
            built[channel.name] = build(channel)
        except (PermanentError, TransientError) as error:
            refused[channel.name] = error
    return built, refused


def _gather_facts(context: StageContext, incident_ids: Iterable[int]) -> Facts:
    with database.get().read() as session:
        views = alerts.view_incidents(session, incident_ids)
        run = session.get_one(PipelineRun, context.run.pk)
    current = settings.load()
    links = {"run": f"{current.web_url}/orchestration/pipeline/{context.run.run_id}/"}
    if flow_run_url := current.flow_run_url(run.flow_run_id):
        links["prefect"] = flow_run_url
    checks = context.outputs(ChecksResult)
    analyses = [analysis for result in context.outputs(AnalyzeResult) for analysis in result.analyses]
    return Facts(
        context=context,
        incidents=views,
        checks=checks[-1] if checks else None,
        analyses={analysis.incident_id: analysis for analysis in analyses},
        links=links,
    )


def _send_all(
    facts: Facts,
    claimed: Sequence[ClaimedNotification],
    built: Mapping[str, Channel],
    refused: Mapping[str, Exception],
) -> None:
    """Side by side, except that one incident's messages to one channel keep their order."""
    lanes: dict[tuple[str, int], list[ClaimedNotification]] = defaultdict(list)
    for message in claimed:
        lanes[message.channel, message.incident_id].append(message)

    def send_lane(lane: Sequence[ClaimedNotification]) -> None:
        for message in lane:
            _send(facts, message, built.get(message.channel), refused.get(message.channel))

    with ThreadPoolExecutor(max_workers=min(SENDERS, len(lanes)), thread_name_prefix="notify") as pool:
        list(pool.map(send_lane, lanes.values()))


def _send(facts: Facts, message: ClaimedNotification, channel: Channel | None, refusal: Exception | None) -> None:
    title = ""
    try:
        driver = _usable(channel, refusal, message.channel)
        notification = compose(
            incident=facts.incidents[message.incident_id],
            reason=message.reason,
            checks=facts.checks.checks if facts.checks else [],
            hostname=facts.checks.hostname if facts.checks else "",
            evidence=facts.checks.evidence if facts.checks else {},
            analysis=facts.analyses.get(message.incident_id),
            links=facts.links,
            trace_id=facts.context.run.trace_id,
            run_id=facts.context.run.run_id,
            channel=message.channel,
            idempotency_key=message.idempotency_key,
        )
        title = notification.title
        receipt = driver.deliver(notification)
    except Exception as error:  # noqa: BLE001  (the edge that records why a message did not go out)
        _record_failure(facts.context, message, title, error)
        return
    with database.get().write() as session:
        notifications.mark_sent(session, message, title=title, provider_id=receipt.provider_id)


def _usable(channel: Channel | None, refusal: Exception | None, name: str) -> Channel:
    if channel is None:
        raise refusal or PermanentError(f"channel {name} is gone")
    return channel


def _record_failure(context: StageContext, message: ClaimedNotification, title: str, error: Exception) -> None:
    is_dead = context.is_last_attempt or not is_retryable(error)
    text = redact_text(str(error))
    log.warning(
        "notification failed",
        extra={"trace_id": context.run.trace_id, "channel": message.channel, "incident_id": message.incident_id,
               "error": text, "is_dead": is_dead},
    )  # fmt: skip
    with database.get().write() as session:
        notifications.mark_failed(
            session, message, title=title, error_type=type(error).__name__, error=text, is_dead=is_dead
        )


def _outcomes(context: StageContext, changes: Sequence[IncidentChange], names: set[str]) -> list[Notification]:
    with database.get().read() as session:
        return _own(context, notifications.of_changes(session, changes), names)


def _own(context: StageContext, rows: Iterable[Notification], names: set[str]) -> list[Notification]:
    """The messages that this run has to send; of two runs that know of one, only one wrote its row."""
    return [row for row in rows if row.channel in names and row.run_id == context.run.run_id]


def _raise_unless_told(context: StageContext, outcomes: Sequence[Notification]) -> None:
    waiting = [row for row in outcomes if row.status in notifications.UNSENT]
    if waiting and not context.is_last_attempt:
        raise TransientError(f"{len(waiting)} of {len(outcomes)} messages did not go out: {_reasons(waiting)}")
    told = {_subject(row) for row in outcomes if row.status is NotificationStatus.SENT}
    if untold := [row for row in outcomes if _subject(row) not in told]:
        count = len({_subject(row) for row in untold})
        raise PermanentError(f"every channel failed for {count} of the run's messages: {_reasons(untold)}")


def _subject(row: Notification) -> tuple[int, int, str]:
    return row.incident_id, row.episode, row.reason


def _reasons(rows: Sequence[Notification]) -> str:
    return "; ".join(sorted({f"{row.channel}: {row.error_message}" for row in rows})[:5])


def _result(context: StageContext, outcomes: Sequence[Notification]) -> NotifyResult:
    status_by_channel: dict[str, set[NotificationStatus]] = defaultdict(set)
    for row in outcomes:
        status_by_channel[row.channel].add(row.status)
    succeeded = sum(statuses == {NotificationStatus.SENT} for statuses in status_by_channel.values())
    return NotifyResult(
        deliveries=[
            DeliveryOutcome(
                channel=row.channel,
                driver=row.driver,
                incident_id=row.incident_id,
                reason=row.reason,
                status=row.status,
                provider_id=row.provider_id,
                error=row.error_message,
            )
            for row in outcomes
        ],
        channels_attempted=len(status_by_channel),
        channels_succeeded=succeeded,
        channels_failed=len(status_by_channel) - succeeded,
        notify_output_ref=f"run:{context.run.run_id}:notifications",
        errors=sorted({f"{row.channel}: {row.error_message}" for row in outcomes if row.error_message}),
    )


NOTIFY = StageKind(stage=Stage.NOTIFY, reached=RunStatus.NOTIFIED, config=NotifyConfig, work=work, store=store)
