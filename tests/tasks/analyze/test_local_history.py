from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.records import Analysis, EarlierIncident, Recommendation
from storage.vocabulary import IncidentStatus, Severity
from tasks.analyze.providers.local import Local
from tasks.analyze.request import AnalysisRequest
from tests.local_requests import STARTED, alert, incident


def before(days: int, *, minutes: int | None = 25, later: int = 0, **changes: Any) -> EarlierIncident:
    """An incident so many days before this one, so many minutes later in the day."""
    started = STARTED - timedelta(days=days) + timedelta(minutes=later)
    fields: dict[str, Any] = {
        "title": "HighMemory",
        "severity": Severity.CRITICAL,
        "status": IncidentStatus.CLOSED,
        "started_at": started,
        "resolved_at": None if minutes is None else started + timedelta(minutes=minutes),
    }
    return EarlierIncident(**fields | changes)


def ask(*earlier: EarlierIncident, **changes: Any) -> Analysis:
    about = incident(alert("HighMemory", host="web-1"), **changes)
    return Local(Local.Config()).analyze(AnalysisRequest(incident=about, earlier=list(earlier)))


def recalled(*earlier: EarlierIncident, **changes: Any) -> Recommendation:
    return ask(*earlier, **changes).recommendations[1]


def test_without_earlier_incidents_nothing_is_recalled() -> None:
    assert len(ask().recommendations) == 1


def test_earlier_incidents_are_told_with_their_time_and_length() -> None:
    told = recalled(before(2), before(9, minutes=130), before(12, minutes=None))

    assert told.title == "See how it went before"
    assert told.description == (
        "The same happened before: 2026-09-12 03:00 UTC, for 25 min; 2026-09-05 03:00 UTC, for 2 h 10 min; "
        "2026-09-02 03:00 UTC.\nIt always began about 03:00 UTC: something that is scheduled may cause it."
    )
    assert told.details["earlier"][1] == {
        "started_at": "2026-09-05T03:00:00+00:00",
        "minutes": 130,
        "severity": "critical",
        "status": "closed",
    }
    assert (told.type, told.priority, told.incident_id) == ("memory", "medium", 7)


def test_the_last_known_cause_and_the_last_note_are_quoted() -> None:
    told = recalled(
        before(1),
        before(2, probable_cause="hub reads:\nMemory 96 %", notes=["first look", "restarted it", " "]),
        before(3, probable_cause="older", notes=["older"]),
    )

    assert "\nThe last known cause: hub reads: Memory 96 %\nThe last note: restarted it" in told.description
    assert "older" not in told.description


def test_a_long_past_is_bounded() -> None:
    told = recalled(
        *[before(day, notes=["n" * 5000], probable_cause="c" * 5000, later=day * 60) for day in range(1, 9)]
    )

    assert " and 3 more." in told.description
    assert len(told.details["earlier"]) == 5
    assert len(told.description) < 1000


def test_a_secret_in_a_note_is_not_repeated() -> None:
    told = recalled(before(1, notes=["reset with password=hunter2"], probable_cause="token=abcdef123456 expired"))

    assert "hunter2" not in told.description
    assert "abcdef123456" not in told.description


@pytest.mark.parametrize(
    ("earlier", "is_told"),
    [
        ([before(1), before(2)], True),
        ([before(1, later=20), before(2, later=-20)], True),
        ([before(1, later=21), before(2)], False),
        ([before(1)], False),
        ([before(0, later=-10), before(1)], False),
    ],
)
def test_a_time_of_day_is_told_where_three_days_or_more_have_it(
    earlier: list[EarlierIncident], *, is_told: bool
) -> None:
    told = recalled(*earlier)

    assert ("about 03:00 UTC" in told.description) is is_told
    assert any("list-timers" in action for action in told.actions) is is_told


def test_times_on_both_sides_of_midnight_are_close() -> None:
    midnight = datetime(2026, 9, 14, 0, 5, tzinfo=UTC)
    earlier = [before(1, started_at=midnight - timedelta(days=day, minutes=10)) for day in (1, 2)]

    assert "about 00:05 UTC" in recalled(*earlier, started_at=midnight).description


def test_for_an_ended_incident_it_is_not_urgent() -> None:
    assert recalled(before(1), status=IncidentStatus.RESOLVED).priority == "low"
