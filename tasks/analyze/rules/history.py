"""What is known of earlier incidents of the same group."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from storage.records import EarlierIncident, IncidentView
from storage.redaction import redact_text
from tasks.analyze.rules.text import one_line

MAX_NAMED = 5
MAX_QUOTE_CHARS = 300
# Beginnings on so many days, within so much of one time of day, are no chance.
LEAST_FOR_A_PATTERN = 3
PATTERN_MINUTES = 20
DAY_MINUTES = 24 * 60


def sentences(earlier: Sequence[EarlierIncident]) -> str:
    """How often it happened before, when and for how long, the last known cause and the last note."""
    if not earlier:
        return ""
    told = [_times(earlier)]
    if cause := next((each.probable_cause for each in earlier if each.probable_cause), ""):
        told.append(f"The last known cause: {one_line(redact_text(cause), MAX_QUOTE_CHARS)}")
    if note := next((note for each in earlier for note in reversed(each.notes) if note.strip()), ""):
        told.append(f"The last note: {one_line(redact_text(note), MAX_QUOTE_CHARS)}")
    return "\n".join(told)


def details(earlier: Sequence[EarlierIncident]) -> list[dict[str, Any]]:
    """The same as data, newest first."""
    return [
        {
            "started_at": each.started_at.isoformat(),
            "minutes": _minutes(each),
            "severity": each.severity,
            "status": each.status,
        }
        for each in earlier[:MAX_NAMED]
    ]


def time_of_day(incident: IncidentView, earlier: Sequence[EarlierIncident]) -> str:
    """The time of day at which this one and those before began, as in `about 02:10 UTC`; empty if at none."""
    starts = [incident.started_at, *(each.started_at for each in earlier)]
    days = {start.date() for start in starts}
    minutes = [start.hour * 60 + start.minute for start in starts]
    is_close = all(_apart(minutes[0], each) <= PATTERN_MINUTES for each in minutes)
    if len(days) < LEAST_FOR_A_PATTERN or not is_close:
        return ""
    return f"about {incident.started_at:%H:%M} UTC"


def _times(earlier: Sequence[EarlierIncident]) -> str:
    named = "; ".join(f"{each.started_at:%Y-%m-%d %H:%M} UTC{_lasted(each)}" for each in earlier[:MAX_NAMED])
    more = f" and {len(earlier) - MAX_NAMED} more" if len(earlier) > MAX_NAMED else ""
    return f"The same happened before: {named}{more}."


def _lasted(each: EarlierIncident) -> str:
    return "" if each.resolved_at is None else f", for {_duration(each.resolved_at - each.started_at)}"


def _minutes(each: EarlierIncident) -> int | None:
    if each.resolved_at is None:
        return None
    return max(0, round((each.resolved_at - each.started_at) / timedelta(minutes=1)))


def _duration(length: timedelta) -> str:
    minutes = max(0, round(length / timedelta(minutes=1)))
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def _apart(one: int, other: int) -> int:
    """Minutes between two times of day, the shorter way round."""
    return min((one - other) % DAY_MINUTES, (other - one) % DAY_MINUTES)
