"""The notify stage: reserve what the run's changes call for, and send what the run has in hand."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.orm import Session

from storage import channels, database, incidents, notifications, runs
from storage.records import ChannelConfig, DeliveryOutcome, IncidentChange, NotifyResult, PassedOver
from storage.tables import Incident, Notification, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import ALARMS, LIVE_INCIDENT, NotificationReason, NotificationStatus, RunStatus, Stage
from tasks.attempt import StageContext, StageKind
from tasks.errors import PermanentError, TransientError
from tasks.notify import outbox
from tasks.notify.schedule import is_within_run
from tasks.notify.sending import TimeLimit, send_in_hand

REASONS_SHOWN = 5


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

    def missing(self, active: Iterable[ChannelConfig]) -> list[str]:
        """What is named and is not there."""
        found = list(active)
        names, kinds = {channel.name for channel in found}, {channel.driver for channel in found}
        drivers = [*(self.drivers or []), *([self.driver] if self.driver else [])]
        absent = [f"channel {name!r} is not active" for name in self.channels or () if name not in names]
        return absent + [f"no channel of driver {driver!r} is active" for driver in drivers if driver not in kinds]


@dataclass(frozen=True)
class Told:
    """What came of a try: the run's messages, who was left out, and what is named and not there."""

    rows: list[Notification]
    passed_over: list[PassedOver]
    missing: list[str]


def work(context: StageContext) -> Told:
    """Send what is not sent yet. Raises TransientError while another attempt within the run may deliver more.

    Raises PermanentError when there is no channel to tell, or when every channel failed to be told something.
    What is still unsent then goes on being tried by runs of `redelivery`.
    """
    limit = TimeLimit.of(context)
    changes = context.changes()
    chosen, missing = _choose_channels(context) if changes else ([], [])
    has_nobody = not chosen and any(change.reason in ALARMS for change in changes)
    passed_over = _reserve(context, chosen, changes)
    send_in_hand(context, limit)
    rows = _rows(context)
    if ends := _untold_ends(rows):
        _reserve(context, (), ends)
        send_in_hand(context, limit)
        rows = _rows(context)
    if has_nobody:
        raise PermanentError(_nobody(missing))
    _raise_unless_told(context, rows, missing)
    return Told(rows, passed_over, missing)


def store(session: Session, context: StageContext, told: Told) -> NotifyResult:
    """The messages are recorded one by one while they go out; the run only points to them."""
    result = _result(context, told)
    run = session.get_one(PipelineRun, context.run.pk)
    run.notify_output_ref = result.notify_output_ref
    return result


def _choose_channels(context: StageContext) -> tuple[list[str], list[str]]:
    """The names of the channels that the node means, and what it names that is not there."""
    with database.get().read() as session:
        active = channels.active_channels(session)
    chosen = [channel.name for channel in active if context.config.selects(channel)]
    return chosen, context.config.missing(active)


def _nobody(missing: Sequence[str]) -> str:
    detail = f" ({'; '.join(missing)})" if missing else ""
    return f"no active notification channel{detail}: add one with `watchkeeper channels add`"


def _reserve(context: StageContext, chosen: Sequence[str], changes: Sequence[IncidentChange]) -> list[PassedOver]:
    if not changes:
        return []
    with database.get().write() as session:
        runs.check_fence(session, run_pk=context.run.pk, fence=context.run.fence)
        return outbox.announce(session, changes, chosen=chosen, run=context.run)


def _untold_ends(rows: Sequence[Notification]) -> list[IncidentChange]:
    """The ends, told by nobody, of what the run tells: they came while their beginnings were on their way."""
    hopeful = (NotificationStatus.SENT, *notifications.UNSENT)
    begun = [row for row in rows if row.reason in ALARMS and row.status in hopeful]
    with database.get().read() as session:
        found = incidents.by_ids(session, {row.incident_id for row in begun})
        over = [row for row in begun if _is_over(found.get(row.incident_id), row.episode)]
        episodes = {(row.incident_id, row.episode) for row in over}
        told = notifications.of_episodes(session, episodes, reasons=[NotificationReason.RESOLVED])
    has_end = {
        (row.channel, row.incident_id, row.episode) for row in told if row.error_type != notifications.UNBEGUN_TYPE
    }
    untold = {
        (row.incident_id, row.episode)
        for row in over
        if (row.channel, row.incident_id, row.episode) not in has_end
    }
    return [
        IncidentChange(incident_id=incident_id, episode=episode, reason=NotificationReason.RESOLVED)
        for incident_id, episode in sorted(untold)
    ]


def _is_over(incident: Incident | None, episode: int) -> bool:
    return incident is not None and (incident.episode > episode or incident.status not in LIVE_INCIDENT)


def _rows(context: StageContext) -> list[Notification]:
    with database.get().read() as session:
        return notifications.of_run(session, context.run.run_id)


def _raise_unless_told(context: StageContext, rows: Sequence[Notification], missing: Sequence[str]) -> None:
    now = utc_now()
    again_at = [row.due_at for row in rows if _is_tried_again(context, row, now)]
    if again_at and not context.is_last_attempt:
        failed = [row for row in rows if _is_tried_again(context, row, now)]
        wait = max((min(again_at) - now).total_seconds(), 0.0)
        raise TransientError(
            f"{len(failed)} of {len(rows)} messages did not go out: {_reasons(failed, missing)}",
            retry_after_seconds=wait,
        )
    # Another run may have told another channel.
    with database.get().read() as session:
        everywhere = notifications.of_episodes(session, {(row.incident_id, row.episode) for row in rows})
        stuck = _stuck(notifications.unsent_about(session, {row.incident_id for row in rows}))
    settled = {_subject(row) for row in everywhere if _is_settled(row) and row.id not in stuck}
    failed = [row for row in rows if _has_failed(row) or row.id in stuck]
    if untold := [row for row in failed if _subject(row) not in settled]:
        why = _reasons([stuck.get(row.id, row) for row in untold], missing)
        count = len({_subject(row) for row in untold})
        go_on = sum(row.status in notifications.UNSENT for row in untold)
        later = f"; {go_on} go on being tried in the background" if go_on else ""
        raise PermanentError(f"every channel failed for {count} of the run's messages: {why}{later}")


def _stuck(unsent: Iterable[Notification]) -> dict[int, Notification]:
    """The messages that wait behind one of their lane that has failed, by their ids: which one that is."""
    failed: dict[tuple[str, int], Notification] = {}
    stuck: dict[int, Notification] = {}
    for row in unsent:
        lane = (row.channel, row.incident_id)
        if _has_failed(row):
            failed.setdefault(lane, row)
        elif lane in failed and row.status is NotificationStatus.PENDING:
            stuck[row.id] = failed[lane]
    return stuck


def _is_settled(row: Notification) -> bool:
    """Whether the channel has the message, or nothing speaks against its getting it in its turn."""
    is_waiting = row.status in (NotificationStatus.PENDING, NotificationStatus.SENDING)
    return row.status is NotificationStatus.SENT or (is_waiting and not row.error_message)


def _has_failed(row: Notification) -> bool:
    has_trouble = row.status is NotificationStatus.PENDING and bool(row.error_message)
    return has_trouble or row.status in (NotificationStatus.FAILED, NotificationStatus.DEAD)


def _is_tried_again(context: StageContext, row: Notification, now: datetime) -> bool:
    """Whether the run waits for another try of a message that failed."""
    is_mine = row.sender_run_id == context.run.run_id
    return is_mine and row.status is NotificationStatus.FAILED and is_within_run(row.due_at, now=now)


def _subject(row: Notification) -> tuple[int, int, str, int]:
    return row.incident_id, row.episode, row.reason, row.sequence


def _reasons(rows: Sequence[Notification], missing: Sequence[str]) -> str:
    of_rows = sorted({f"{row.channel}: {row.error_message}" for row in rows})
    return "; ".join([*of_rows[:REASONS_SHOWN], *missing])


def _result(context: StageContext, told: Told) -> NotifyResult:
    status_by_channel: dict[str, set[NotificationStatus]] = defaultdict(set)
    for row in told.rows:
        status_by_channel[row.channel].add(row.status)
    succeeded = sum(statuses == {NotificationStatus.SENT} for statuses in status_by_channel.values())
    failed = {f"{row.channel}: {row.error_message}" for row in told.rows if row.error_message}
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
            for row in told.rows
        ],
        passed_over=told.passed_over,
        waiting=sum(row.status in notifications.UNSENT for row in told.rows),
        channels_attempted=len(status_by_channel),
        channels_succeeded=succeeded,
        channels_failed=len(status_by_channel) - succeeded,
        notify_output_ref=f"run:{context.run.run_id}:notifications",
        errors=[*told.missing, *sorted(failed)],
    )


NOTIFY = StageKind(stage=Stage.NOTIFY, reached=RunStatus.NOTIFIED, config=NotifyConfig, work=work, store=store)
