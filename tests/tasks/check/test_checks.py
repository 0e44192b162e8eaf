import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude, state
from tasks.check.checks import build_checkers, run_checkers
from tasks.errors import PermanentError


class Fake(Checker):
    """A checker that measures by calling a function."""

    kind: ClassVar[str] = "fake"

    class Config(RisingConfig):
        warning_threshold: float = 1.0
        critical_threshold: float = 2.0

    def __init__(self, action: Callable[[], object], timeout: float = 5.0) -> None:
        self.action = action
        self.config = Fake.Config(timeout=timeout)

    def measure(self) -> CheckResult:
        return CheckResult(checker_name=self.kind, status=CheckStatus.OK, message=str(self.action()))


class Telling(Fake):
    """A checker whose result a function makes."""

    def measure(self) -> CheckResult:
        result = self.action()
        assert isinstance(result, CheckResult)
        return result


def raising(error: BaseException) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Something to hang on, let go at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_none_builds_the_default_checkers_in_the_registrys_order() -> None:
    assert [checker.kind for checker in build_checkers(None, {})] == [n for n in CHECKERS if n in DEFAULTS]


def test_none_builds_those_that_are_configured_too() -> None:
    built = [checker.kind for checker in build_checkers(None, {"process": {"processes": ["init"]}})]

    assert "process" not in DEFAULTS
    assert built == [name for name in CHECKERS if name in {*DEFAULTS, "process"}]


def test_names_are_built_in_the_order_given_and_once_each() -> None:
    assert [checker.kind for checker in build_checkers(["disk", "cpu", "disk"], {})] == ["disk", "cpu"]


def test_no_names_build_no_checkers() -> None:
    assert build_checkers([], {}) == []


def test_each_checker_gets_its_own_config() -> None:
    checkers = build_checkers(["memory", "disk"], {"disk": {"critical_threshold": 99}})

    assert [checker.config.critical_threshold for checker in checkers] == [90.0, 99.0]


@pytest.mark.parametrize(
    ("names", "configs", "says"),
    [
        (["cpuu"], {}, "unknown checker 'cpuu'; one of cpu, load, memory, "),
        (None, {"dsik": {}}, "unknown checker 'dsik'"),
        (None, {"disk": {"path": "/"}}, "checker disk: unknown config key 'path'; one of .*paths"),
        (None, {"cpu": {"samples": "many"}}, "checker cpu: config key 'samples': Input should be"),
        (None, {"disk": {"paths": ["/", 3]}}, r"checker disk: config key 'paths\.1'"),
        (
            None,
            {"memory": {"warning_threshold": 95}},
            "checker memory: warning_threshold 95 must not be above critical_threshold 90",
        ),
    ],
)
def test_a_wrong_config_is_refused_for_good_with_the_checker_and_the_key(
    names: list[str] | None, configs: dict[str, dict[str, object]], says: str
) -> None:
    with pytest.raises(PermanentError, match=says):
        build_checkers(names, configs)


def test_a_refused_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(PermanentError) as refusal:
        build_checkers(None, {"cpu": {"samples": "hunter2"}})

    assert "hunter2" not in str(refusal.value)


def test_results_come_in_the_order_given_whichever_is_faster() -> None:
    results = run_checkers([Fake(lambda: time.sleep(0.2) or "slow"), Fake(lambda: "quick")])

    assert [result.message for result in results] == ["slow", "quick"]


def test_checkers_run_side_by_side() -> None:
    started = time.monotonic()

    run_checkers([Fake(lambda: time.sleep(0.4)) for _ in range(4)])

    assert time.monotonic() - started < 1.0


def test_the_runner_fills_in_duration_and_thresholds() -> None:
    result = run_checkers([Fake(lambda: time.sleep(0.1))])[0]

    assert 100 <= result.duration_ms < 1000
    assert (result.warning_threshold, result.critical_threshold) == (1.0, 2.0)


def test_a_hung_checker_is_unknown_and_returns_control_at_its_timeout(never: threading.Event) -> None:
    started = time.monotonic()

    hung, good = run_checkers([Fake(never.wait, timeout=0.3), Fake(lambda: "fine")])

    assert 0.3 <= time.monotonic() - started < 1.0
    assert (hung.status, hung.error) == (CheckStatus.UNKNOWN, "timed out after 0.3 s")
    assert hung.duration_ms == pytest.approx(300, abs=200)
    assert hung.critical_threshold == 2.0
    assert good.status is CheckStatus.OK


def test_several_hung_checkers_cost_the_longest_timeout_and_not_the_sum(never: threading.Event) -> None:
    started = time.monotonic()

    results = run_checkers([Fake(never.wait, timeout=0.4) for _ in range(5)])

    assert time.monotonic() - started < 1.2
    assert {result.error for result in results} == {"timed out after 0.4 s"}


def test_a_hung_checker_does_not_keep_the_program_from_ending() -> None:
    program = """
import threading
from tasks.check.checkers.memory import Memory
from tasks.check.checks import run_checkers

class Hung(Memory):
    def measure(self):
        threading.Event().wait()

print(run_checkers([Hung(Memory.Config(timeout=0.2))])[0].error)
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=True)

    assert ended.stdout == "timed out after 0.2 s\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("no such sensor"), "ValueError: no such sensor"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_a_crash_is_unknown_with_the_errors_type_and_message(error: BaseException, says: str) -> None:
    crashed, good = run_checkers([Fake(raising(error)), Fake(lambda: "fine")])

    assert crashed.status is CheckStatus.UNKNOWN
    assert (crashed.error, crashed.message) == (says, says)
    assert crashed.critical_threshold == 2.0
    assert good.status is CheckStatus.OK


def test_a_host_out_of_threads_is_unknown_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: raising(RuntimeError("can't start new thread"))())

    result = run_checkers([Fake(lambda: "fine")])[0]

    assert result.status is CheckStatus.UNKNOWN
    assert result.error == "no thread could be started: can't start new thread"


class MuteError(Exception):
    """An error that cannot even be told."""

    def __str__(self) -> str:
        raise ValueError


def test_a_crash_that_cannot_be_told_is_unknown_with_the_errors_type() -> None:
    mute, good = run_checkers([Fake(raising(MuteError())), Fake(lambda: "fine")])

    assert (mute.status, mute.error) == (CheckStatus.UNKNOWN, "MuteError")
    assert good.status is CheckStatus.OK


def test_results_are_what_every_database_takes() -> None:
    odd = state(CheckStatus.WARNING, "b\0ad\ud800", target="t\0\ud800")
    metrics = {"n\0": "\ud800", "list": [float("nan")], "pair": ("a\0", 1), "by_number": {1: "one"}}

    [result] = run_checkers([Telling(lambda: conclude("telling", [odd], metrics=metrics))])

    assert (result.status, result.message) == (CheckStatus.WARNING, "b\ufffdad\ufffd")
    assert (result.readings[0].target, result.readings[0].message) == ("t\ufffd\ufffd", "b\ufffdad\ufffd")
    assert result.metrics == {
        "n\ufffd": "\ufffd",
        "list": ["nan"],
        "pair": ["a\ufffd", 1],
        "by_number": {"1": "one"},
    }


@pytest.mark.parametrize("error", [ValueError("\0\ud800"), NotApplicableError("\0\ud800")])
def test_errors_are_what_every_database_takes(error: Exception) -> None:
    result = run_checkers([Fake(raising(error))])[0]

    assert result.message.endswith("\ufffd\ufffd")
    assert result.error in {None, result.message}


def circular() -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    metrics["itself"] = metrics
    return metrics


def nested(levels: int) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for _ in range(levels):
        metrics = {"in": metrics}
    return metrics


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"a": b"raw"}, "Object of type bytes is not JSON serializable"),
        ({"a": object()}, "Object of type object is not JSON serializable"),
        ({"a": {1, 2}}, "Object of type set is not JSON serializable"),
        ({("a", 1): 1}, "keys must be str, int, float, bool or None, not tuple"),
        ({"a": 10**5000}, "Exceeds the limit"),
        (circular(), "Circular reference detected"),
        (nested(101), "they are nested deeper than 100 levels"),
        (nested(5000), "maximum recursion depth exceeded"),
    ],
)
def test_metrics_that_cannot_be_stored_are_unknown_with_the_reason(metrics: dict[Any, Any], says: str) -> None:
    odd = CheckResult(checker_name="telling", status=CheckStatus.OK, message="fine")

    result, good = run_checkers(
        [Telling(lambda: odd.model_copy(update={"metrics": metrics})), Fake(lambda: "fine")]
    )

    assert result.status is CheckStatus.UNKNOWN
    assert result.message.startswith(f"metrics cannot be stored: {says}")
    assert result.error == result.message
    assert result.metrics == {}
    assert result.critical_threshold == 2.0
    assert good.status is CheckStatus.OK


def test_metrics_may_be_nested() -> None:
    result = run_checkers([Telling(lambda: conclude("telling", [], metrics=nested(99)))])[0]

    assert result.metrics == nested(99)


def test_a_checker_that_does_not_apply_here_is_skipped_and_has_no_error() -> None:
    result = run_checkers([Fake(raising(NotApplicableError("no swap on this host")))])[0]

    assert (result.status, result.message) == (CheckStatus.SKIPPED, "no swap on this host")
    assert result.error is None
    assert result.readings == []


def test_no_checkers_give_no_results() -> None:
    assert run_checkers([]) == []


def test_the_real_checkers_measure_this_host() -> None:
    results = run_checkers(build_checkers(None, {"cpu": {"samples": 2, "sample_interval": 0.1}}))

    assert {result.checker_name for result in results} == set(DEFAULTS)
    assert not [result.error for result in results if result.error]
    assert {result.checker_name for result in results if result.duration_ms > 0} >= {"cpu"}
