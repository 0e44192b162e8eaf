"""When a message is tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.settings import Settings
from tasks.errors import PermanentError, TransientError
from tasks.notify.schedule import given_up_before, is_within_run, next_try_at

NOW = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)
DELAYS = [5.0, 30.0, 120.0]


def wait_after(error: Exception, attempts: int) -> float | None:
    due_at = next_try_at(error, attempts=attempts, now=NOW, delays=DELAYS)
    return None if due_at is None else (due_at - NOW).total_seconds()


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 30), (3, 120)], ids=str)
def test_each_try_waits_as_long_as_the_schedule_says_and_a_little_longer(attempts: int, seconds: float) -> None:
    waits = {wait_after(TransientError("busy"), attempts) for _ in range(20)}

    assert all(wait is not None and seconds <= wait <= seconds * 1.1 for wait in waits)
    assert len(waits) > 1  # those that failed together do not come back together


def test_after_the_schedule_there_is_no_other_try() -> None:
    assert wait_after(TransientError("busy"), 4) is None


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    assert wait_after(PermanentError("gone"), 1) is None


def test_an_error_that_nobody_judged_is_tried_again() -> None:
    assert wait_after(KeyError("a bug"), 1) is not None


def test_a_destinations_wish_holds_where_it_is_longer_even_than_the_whole_schedule() -> None:
    assert wait_after(TransientError("busy", retry_after_seconds=86_400), 1) == 86_400
    assert wait_after(TransientError("busy", retry_after_seconds=1), 2) >= 30  # type: ignore[operator]


def test_of_the_usual_schedule_only_the_first_tries_are_within_the_run() -> None:
    delays = Settings().notify_retry_seconds

    within = [is_within_run(NOW + timedelta(seconds=seconds), now=NOW) for seconds in delays]

    assert within == [True, True] + [False] * 6
    assert NOW - given_up_before(NOW, delays=delays) > timedelta(hours=20)
