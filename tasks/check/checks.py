"""Build the checkers that a config asks for, and run them side by side."""

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import CHECKERS
from tasks.check.checkers.base import Checker
from tasks.errors import PermanentError

Results = queue.SimpleQueue[CheckResult]


def build_checkers(names: Sequence[str] | None, configs: Mapping[str, Mapping[str, Any]]) -> list[Checker]:
    """The named checkers in that order, each once; None means all that are registered.

    Raises PermanentError that names an unknown checker, or the checker and the config key that is wrong.
    """
    wanted = list(dict.fromkeys(CHECKERS if names is None else names))
    for name in [*wanted, *configs]:
        if name not in CHECKERS:
            raise PermanentError(f"unknown checker {name!r}; one of {', '.join(CHECKERS)}")
    return [_build(name, configs.get(name, {})) for name in wanted]


def run_checkers(checkers: Sequence[Checker]) -> list[CheckResult]:
    """Results in the order given. Takes as long as the slowest checker, and never longer than its timeout.

    A checker that hangs or crashes is UNKNOWN. A hung measurement cannot be stopped, so it is left behind in
    a daemon thread, which keeps nobody from leaving.
    """
    started = time.monotonic()
    running = [(checker, _start(checker)) for checker in checkers]
    return [_wait_for(checker, results, started) for checker, results in running]


def _build(name: str, config: Mapping[str, Any]) -> Checker:
    checker = CHECKERS[name]
    try:
        return checker(checker.Config.model_validate(dict(config)))
    except ValidationError as error:
        faults = "; ".join(_fault(fault, checker.Config.model_fields) for fault in error.errors())
        raise PermanentError(f"checker {name}: {faults}") from None


def _fault(fault: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    """One fault without the refused value, which may be a secret in the wrong place."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown config key {where!r}; one of {', '.join(keys)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"config key {where!r}: {message}" if where else message


def _start(checker: Checker) -> Results:
    results = Results()
    thread = threading.Thread(
        target=lambda: results.put(_measure(checker)), name=f"checker {checker.kind}", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:  # the host is out of threads: that is news too, not a reason to stop
        results.put(_unknown(checker, _described(error), time.monotonic()))
    return results


def _measure(checker: Checker) -> CheckResult:
    started = time.monotonic()
    try:
        return _completed(checker, checker.measure(), started)
    # This is the thread's edge, where a crash becomes a result: whatever got past it would look like a hang.
    except BaseException as error:  # noqa: BLE001
        return _unknown(checker, _described(error), started)


def _wait_for(checker: Checker, results: Results, started: float) -> CheckResult:
    timeout_seconds = checker.config.timeout
    try:
        return results.get(timeout=max(0.0, started + timeout_seconds - time.monotonic()))
    except queue.Empty:
        return _unknown(checker, f"timed out after {timeout_seconds:g} s", started)


def _unknown(checker: Checker, error: str, started: float) -> CheckResult:
    result = CheckResult(checker_name=checker.kind, status=CheckStatus.UNKNOWN, message=error, error=error)
    return _completed(checker, result, started)


def _completed(checker: Checker, result: CheckResult, started: float) -> CheckResult:
    return result.model_copy(
        update={
            "duration_ms": round((time.monotonic() - started) * 1000, 1),
            "warning_threshold": checker.config.warning_threshold,
            "critical_threshold": checker.config.critical_threshold,
        }
    )


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
