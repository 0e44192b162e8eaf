"""Messages as the API shows them, and the command line with `--json`. It knows no Flask."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from storage import channels, outbox_actions
from storage.records import PassedOver
from storage.redaction import redact
from storage.tables import Notification, NotificationChannel, PipelineRun
from storage.tables.base import utc_now
from storage.vocabulary import NotificationStatus
from tasks.notify.text import humanize_duration

WAITS = (NotificationStatus.PENDING, NotificationStatus.FAILED)


def notification_fields(row: Notification) -> dict[str, Any]:
    """One message in a list. Only one that waits has a next try."""
    fields = {
        "id": row.id,
        "channel": row.channel,
        "driver": row.driver,
        "instead_of": row.instead_of,
        "incident_id": row.incident_id,
        "episode": row.episode,
        "reason": row.reason,
        "sequence": row.sequence,
        "status": row.status,
        "attempts": row.attempts,
        "next_try_at": row.due_at if row.status in WAITS else None,
        "title": row.title,
        "provider_id": row.provider_id,
        "error_type": row.error_type,
        "error_message": row.error_message,
        "trace_id": row.trace_id,
        "run_id": row.run_id,
        "created_at": row.created_at,
        "sent_at": row.sent_at,
        "url": f"/notify/notifications/{row.id}/",
    }
    shown: dict[str, Any] = redact(fields)
    return shown


def notification_details(session: Session, row: Notification, *, tries: int) -> dict[str, Any]:
    """One message with what was said, its runs, who was told instead, and what happens next.

    `tries` is how often a message is tried before it is a dead letter.
    """
    runs = outbox_actions.runs_of(session, row)
    stand_ins = outbox_actions.stand_ins(session, row)
    channel = channels.find(session, row.channel)
    holder = holder_of(row, runs)
    return {
        **notification_fields(row),
        "message": redact(row.message),
        "idempotency_key": row.idempotency_key,
        "updated_at": row.updated_at,
        "tries": tries,
        "stand_ins": [notification_fields(each) for each in stand_ins],
        "runs": [_run_fields(run) for run in runs],
        "next": next_step(row, holder=holder, channel=channel, tries=tries),
        "allowed": outbox_actions.allowed(row, holder=holder),
    }


def holder_of(row: Notification, runs: Iterable[PipelineRun]) -> PipelineRun | None:
    """Which of its runs has a message in hand now."""
    return next((run for run in runs if run.run_id == row.sender_run_id and run.completed_at is None), None)


def passed_over_fields(passed_over: Iterable[PassedOver]) -> list[dict[str, Any]]:
    """The channels that were not told, and why."""
    return [redact(each.model_dump(mode="json")) for each in passed_over]


def fate_line(fields: Mapping[str, Any], *, now: datetime) -> str:
    """What became of a message, in a line; `fields` are those of `notification_fields`."""
    instead = f" instead of {fields['instead_of']}" if fields["instead_of"] else ""
    due_at = fields["next_try_at"]
    waits = f", next try in {humanize_duration(due_at - now)}" if due_at else ""
    error = f": {fields['error_message']}" if fields["error_message"] else ""
    return f"notification: {fields['channel']} ({fields['driver']}){instead} {fields['status']}{waits}{error}"


def passed_over_line(fields: Mapping[str, Any]) -> str:
    """Who was not told of what, and why, in a line; `fields` are those of `passed_over_fields`."""
    return f"not told: {fields['channel']} of incident {fields['incident_id']} {fields['reason']}: {fields['why']}"


def counts_line(counts: Mapping[NotificationStatus, int]) -> str:
    """What has not arrived, in words; empty where all has."""
    waiting = counts[NotificationStatus.PENDING] + counts[NotificationStatus.FAILED]
    sending, dead = counts[NotificationStatus.SENDING], counts[NotificationStatus.DEAD]
    parts = (
        (waiting, f"{waiting} {'waits' if waiting == 1 else 'wait'}"),
        (sending, f"{sending} being sent"),
        (dead, f"{dead} dead {'letter' if dead == 1 else 'letters'}"),
    )
    return ", ".join(said for count, said in parts if count)


def next_step(
    row: Notification,
    *,
    holder: PipelineRun | None,
    channel: NotificationChannel | None,
    tries: int,
    retry: str = "retry",
) -> str:
    """What becomes of a message now, in plain words. `holder` has it in hand, and is a run that is not over.

    `retry` is what people call it to send it once more.
    """
    by = f", by run {holder.run_id}" if holder else ""
    moment = "now" if row.due_at <= utc_now() else f"at {row.due_at:%Y-%m-%d %H:%M:%S}Z"
    match row.status:
        case NotificationStatus.SENT:
            return "nothing: it was delivered"
        case NotificationStatus.DISCARDED:
            return f"nothing: it was set aside; {retry} sends it after all"
        case NotificationStatus.DEAD:
            when = f" when run {holder.run_id} is over" if holder else ""
            return f"nothing by itself: it is a dead letter; {retry} sends it once more{when}"
        case NotificationStatus.SENDING:
            return f"it is being sent{by}" if holder else f"its run is over; another sends it again {moment}"
    return f"try {row.attempts + 1} of {tries} is due {moment}{by}{_obstacle(row, channel)}"


def _obstacle(row: Notification, channel: NotificationChannel | None) -> str:
    if channel is None:
        return f"; there is no channel {row.channel} any more"
    return "" if channel.is_active else f"; channel {row.channel} is switched off, so it waits until that is on"


def _run_fields(run: PipelineRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "pipeline": run.definition_name,
        "status": run.status,
        "url": f"/orchestration/pipeline/{run.run_id}/",
    }
