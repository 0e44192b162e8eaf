"""An incident's story as entries of its page: each with its time, what it is of, a sentence, and a link."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from flask import url_for

from storage.redaction import redact, redact_text
from storage.tables import AlertHistory
from storage.vocabulary import AlertEvent
from webhook_app.console.formats import shortened
from webhook_app.console.incident_story import Story
from webhook_app.trace_story import Event, timeline_of

ENTRIES_SHOWN = 100
NAMES_SHOWN = 5
TEXT_MAX_CHARS = 600
VIEWS = {
    "delivery": "delivery_rows",
    "alert": "history_rows",
    "run": "run_rows",
    "stage": "stage_rows",
    "check": "check_rows",
    "analysis": "analysis_rows",
    "notification": "notification_rows",
}
# What became of an alert, as one says it.
SAID = {
    AlertEvent.CREATED: "came in for the first time",
    AlertEvent.REFIRED: "fired anew",
    AlertEvent.REFRESHED: "was said again",
    AlertEvent.SEVERITY_CHANGED: "changed severity",
    AlertEvent.ACKNOWLEDGED: "acknowledged at the sender",
    AlertEvent.UNACKNOWLEDGED: "no longer acknowledged at the sender",
    AlertEvent.RESOLVED: "ended",
    AlertEvent.STALE: "was said again, too late to count",
    AlertEvent.TRUNCATED: "came with more that the sender left out",
}
JOINED = (AlertEvent.CREATED, AlertEvent.REFIRED)
# What is written down as of one time happened in this order: an alert's entries have the time of their delivery.
FIRST_AT_A_TIME = {"delivery": 0, "alert": 1}


@dataclass(frozen=True)
class Entry:
    """One line of the timeline. `anchor` stays the same, so that a link to it can be kept."""

    at: datetime
    what: str
    text: str
    anchor: str
    status: str = ""
    url: str = ""


@dataclass(frozen=True)
class Timeline:
    """The newest entries; `left_out` is how many older ones were read and are not among them."""

    entries: Sequence[Entry]
    left_out: int


def timeline(story: Story, *, is_oldest_first: bool) -> Timeline:
    """The incident's timeline."""
    found = [*_of_alerts(story), *map(_entry, _numbered(timeline_of(story.fields())))]
    found.sort(key=lambda entry: (entry.at, FIRST_AT_A_TIME.get(entry.what, len(FIRST_AT_A_TIME))))
    shown = found[-ENTRIES_SHOWN:]
    return Timeline(shown if is_oldest_first else shown[::-1], len(found) - len(shown))


def _numbered(events: Iterable[Event]) -> Iterator[tuple[str, Event]]:
    """Each event with an anchor of its own: its row's, and how manieth of that row it is."""
    seen: dict[str, int] = {}
    for event in events:
        name = f"{event.what.replace(' ', '-')}-{event.pk or int(event.at.timestamp())}"
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}-{seen[name]}"), event


def _entry(numbered: tuple[str, Event]) -> Entry:
    anchor, event = numbered
    endpoint = VIEWS.get(event.what)
    url = url_for(f"{endpoint}.details_view", id=event.pk) if endpoint and event.pk else ""
    # The page is about one incident: its number need not be said each time.
    said = event.text.removeprefix(f"{event.pk} ") if event.what == "incident" else event.text
    return Entry(event.at, event.what, shortened(said, TEXT_MAX_CHARS), anchor, event.status, url)


def _of_alerts(story: Story) -> Iterator[Entry]:
    """What one webhook did to several alerts is one entry; what people did has no trace, and each stands alone."""
    # With the last of these an alert joined its incident; before, it may have been in another one.
    joined = set({row.alert_id: row.id for row in story.history if row.event in JOINED}.values())
    for (_, has_joined, _), rows in groupby(
        story.history, key=lambda row: (row.event, row.id in joined, row.trace_id or row.id)
    ):
        yield _alerts_entry(story, list(rows), why=_why(story) if has_joined else "")


def _alerts_entry(story: Story, rows: Sequence[AlertHistory], *, why: str) -> Entry:
    first = rows[0]
    event, trace_id = first.event, first.trace_id
    names = list(dict.fromkeys(redact_text(story.names.get(row.alert_id, str(row.alert_id))) for row in rows))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    who = ", ".join(names[:NAMES_SHOWN]) + more
    count = f"{len(rows)} alerts: {who}" if len(rows) > 1 else who
    is_one = len(rows) == 1
    url = (
        url_for("alert_rows.details_view", id=first.alert_id)
        if is_one
        else url_for("history_rows.index_view", search=trace_id)
        if trace_id
        else ""
    )
    said = f"{count}: {SAID[event]}{_details(first) if is_one else ''}{why}"
    status = first.new_status if event is not AlertEvent.SEVERITY_CHANGED else ""
    return Entry(first.created_at, "alert", shortened(said, TEXT_MAX_CHARS), f"history-{first.id}", status, url)


def _details(row: AlertHistory) -> str:
    if row.event is AlertEvent.SEVERITY_CHANGED:
        return f" from {row.details.get('old_severity')} to {row.details.get('new_severity')}"
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in redact(dict(row.details)).items())
    return f" ({said})" if said else ""


def _why(story: Story) -> str:
    """Why it is part of this incident."""
    label = story.incident.group_label
    return f"; it belongs to this incident because its group is {label}" if label else ""
