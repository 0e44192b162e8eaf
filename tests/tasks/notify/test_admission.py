"""The limit per minute and the circuit of a channel, by arithmetic alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.tables import ChannelState, Notification
from tasks.notify.admission import (
    OPEN_AFTER_FAILURES,
    PATIENCE_SECONDS,
    Admission,
    admit,
    note_failure,
    note_wish,
)

NOW = datetime(2026, 9, 14, 6, 0, tzinfo=UTC)


def fresh() -> ChannelState:
    return ChannelState(channel="sink", failures=0, last_error="")


def ask(state: ChannelState, count: int, *, rate: float = 0, at: float = 0) -> Admission:
    """Let so many messages ask to go, so many seconds after the beginning."""
    rows = [Notification(id=pk) for pk in range(count)]
    return admit(state, rows, rate_per_minute=rate, now=NOW + timedelta(seconds=at))


def seconds(admission: Admission) -> list[float]:
    return [(moment - NOW).total_seconds() for _, moment in admission.admitted]


def open_circuit(state: ChannelState, *, at: float = 0) -> None:
    while not note_failure(state, error="503", now=NOW + timedelta(seconds=at)):
        pass


def test_without_a_limit_all_go_at_once() -> None:
    assert seconds(ask(fresh(), 1000)) == [0.0] * 1000


def test_a_sixth_of_a_minutes_messages_go_at_once_and_the_others_at_an_even_pace() -> None:
    found = seconds(ask(fresh(), 15, rate=60))

    assert found[:10] == [0.0] * 10
    assert [round(moment, 6) for moment in found[10:]] == [1.2, 2.4, 3.6, 4.8, 6.0]


@pytest.mark.parametrize("rate", [1, 7, 60, 600], ids=str)
@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=30))
def test_no_minute_sees_more_messages_than_the_limit(rate: float, steps: list[tuple[float, int]]) -> None:
    state, at, sent = fresh(), 0.0, list[float]()
    for pause, count in steps:
        at += pause
        sent += seconds(ask(state, count, rate=rate, at=at))

    sent.sort()
    assert all(sum(begin <= moment < begin + 60 for moment in sent) <= max(rate, 1) for begin in sent)


@pytest.mark.parametrize("rate", [1e-12, 5e-324], ids=str)
def test_hardly_any_rate_is_a_message_a_day(rate: float) -> None:
    state = fresh()
    note_wish(state, retry_after_seconds=0, rate_per_minute=rate, now=NOW)
    admission = ask(state, 1000, rate=rate)

    assert seconds(admission) == [0.0]
    assert (admission.postponed[0][1] - NOW) == timedelta(days=1)


def test_what_may_not_go_soon_is_left_to_later_runs_in_portions() -> None:
    admission = ask(fresh(), 200, rate=60)

    waits = [(moment - NOW).total_seconds() for _, moment in admission.postponed]
    assert max(seconds(admission)) <= PATIENCE_SECONDS
    assert not admission.is_resting
    assert waits[0] == PATIENCE_SECONDS
    assert len(set(waits)) == 11  # 174 messages, a portion for each 20 s
    assert waits == sorted(waits)


def test_the_circuit_opens_after_several_failures_in_a_row_and_nothing_goes() -> None:
    state = fresh()
    opened = [note_failure(state, error="503", now=NOW) for _ in range(OPEN_AFTER_FAILURES)]

    admission = ask(state, 3, at=29)

    assert opened == [False, False, False, False, True]
    assert (seconds(admission), len(admission.postponed), admission.is_resting) == ([], 3, True)


def test_after_the_rest_one_message_shows_whether_the_channel_is_back() -> None:
    state = fresh()
    open_circuit(state)

    trial, behind = ask(state, 3, at=31), ask(state, 3, at=32)

    assert (len(trial.admitted), len(trial.postponed)) == (1, 2)
    assert (len(behind.admitted), len(behind.postponed)) == (0, 3)


def test_the_rests_grow_to_ten_minutes() -> None:
    state, rests = fresh(), []
    open_circuit(state)
    for _ in range(7):
        assert state.rests_until
        now = state.rests_until
        note_failure(state, error="503", now=now)
        rests.append((state.rests_until - now).total_seconds())

    assert rests == [30, 60, 120, 240, 480, 600, 600]


def test_many_failures_side_by_side_are_one_short_rest() -> None:
    state = fresh()
    for _ in range(50):
        note_failure(state, error="503", now=NOW)

    assert state.rests_until == NOW + timedelta(seconds=30)


@pytest.mark.parametrize("rate", [0, 60], ids=str)
def test_a_destinations_wish_to_be_left_alone_holds_for_all_messages_to_it(rate: float) -> None:
    state = fresh()
    note_wish(state, retry_after_seconds=15, rate_per_minute=rate, now=NOW)

    admission = ask(state, 2, rate=rate, at=1)

    assert min(seconds(admission)) == 15
    assert not admission.is_resting
