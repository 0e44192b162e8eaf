"""What on the dashboard needs somebody: the same rules as `watchkeeper doctor`'s, from what the page has read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import url_for

from storage.retention import PRUNED_WITHIN
from storage.vitals import LATE_SECONDS, STUCK_SECONDS
from storage.vocabulary import DeliveryStatus, NotificationStatus
from webhook_app.console.dashboard.figures import Beginnings, Inside, is_alive
from webhook_app.console.formats import duration


@dataclass(frozen=True)
class Concern:
    """One thing: its tone (bad or concern), what is so, what to do, and the page where that is done."""

    tone: str
    said: str
    remedy: str = ""
    url: str = ""


def concerns(inside: Inside, beginnings: Beginnings, now: datetime) -> list[Concern]:
    """All of them, the worst first."""
    found = [
        *_workers(inside, now),
        *_waiting(inside),
        *_schedules(inside, now),
        *_telling(inside, beginnings),
        *_quarantine(inside),
    ]
    return sorted(found, key=lambda each: each.tone != "bad")


def _workers(inside: Inside, now: datetime) -> Iterator[Concern]:
    alive = [each for each in inside.workers if is_alive(each, now)]
    if not alive:
        said = "No worker lives: webhooks are accepted, and nobody is told."
        yield Concern("bad", said, "Start one with: watchkeeper up")
    for each in alive:
        if not each.has_prefect:
            said = f"The worker on {each.hostname} does not reach Prefect's server."
            yield Concern("concern", said, "Runs go without it meanwhile.")


def _waiting(inside: Inside) -> Iterator[Concern]:
    seconds = inside.oldest_waiting_seconds
    if seconds > LATE_SECONDS:
        yield Concern(
            "bad" if seconds > STUCK_SECONDS else "concern",
            f"The oldest delivery waits for {duration(seconds * 1000)}.",
            url=url_for("delivery_rows.index_view", status=DeliveryStatus.WAITING.value),
        )


def _schedules(inside: Inside, now: datetime) -> Iterator[Concern]:
    for each in inside.schedules:
        if each.is_late and each.last_run_at and each.every_seconds:
            ago = duration((now - each.last_run_at).total_seconds() * 1000)
            due = duration(each.every_seconds * 1000)
            yield Concern("bad", f"{each.name} last ran {ago} ago, though it is due every {due}.")
    if inside.pruned_at and now - inside.pruned_at > PRUNED_WITHIN:
        ago = duration((now - inside.pruned_at).total_seconds() * 1000)
        yield Concern("concern", f"Old rows were last let go of {ago} ago, though that is due every hour.")


def _telling(inside: Inside, beginnings: Beginnings) -> Iterator[Concern]:
    if not beginnings.has_channel:
        yield Concern(
            "bad",
            "No channel is active: nobody is told anything.",
            "Add one with: watchkeeper channels add",
            url_for("channel_rows.index_view"),
        )
    if dead := inside.messages[NotificationStatus.DEAD]:
        said = (
            "1 dead letter: a message did not arrive." if dead == 1 else f"{dead:,} dead letters did not arrive."
        )
        url = url_for("notification_rows.index_view", status=NotificationStatus.DEAD.value)
        yield Concern("bad", said, url=url)


def _quarantine(inside: Inside) -> Iterator[Concern]:
    if count := inside.deliveries[DeliveryStatus.QUARANTINED]:
        said = f"In quarantine, because nothing could be made of them: {count:,}."
        url = url_for("delivery_rows.index_view", status=DeliveryStatus.QUARANTINED.value)
        yield Concern("concern", said, url=url)
