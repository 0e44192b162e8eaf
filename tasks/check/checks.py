"""Build the checkers that a config asks for, and run them side by side."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from storage.records import CheckResult
from storage.storable import storable
from storage.vocabulary import CheckStatus
from tasks.check.calls import Call, HungError, NoThreadError
from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.check.checkers.base import Checker, NotApplicableError
from tasks.errors import PermanentError

# The parser of records takes 200 levels of JSON, and metrics lie in other records.
MAX_DEPTH = 100


class UnstorableError(Exception):
    """A checker's metrics are no JSON; the message says why."""


def build_checkers(names: Sequence[str] | None, configs: Mapping[str, Mapping[str, Any]]) -> list[Checker]:
    """The named checkers in that order, each once; None means the default ones and those that are configured.

    Raises PermanentError that names an unknown checker, or the checker and the config key that is wrong.
    """
    for name in [*(names or ()), *configs]:
        if name not in CHECKERS:
            raise PermanentError(f"unknown checker {name!r}; one of {', '.join(CHECKERS)}")
    if names is None:
        names = [name for name in CHECKERS if name in DEFAULTS or name in configs]
    return [_build(name, configs.get(name, {})) for name in dict.fromkeys(names)]


def run_checkers(checkers: Sequence[Checker], *, within_seconds: float = math.inf) -> list[CheckResult]:
    """Results in the order given. Takes as long as the slowest checker, and never longer than its timeout or
    than they all may.

    A checker that hangs, crashes or measures what cannot be stored is UNKNOWN.
    """
    started = time.monotonic()
    calls = [Call(partial(_measure, checker), name=f"checker {checker.kind}") for checker in checkers]
    return [
        _wait_for(checker, call, started, min(checker.config.timeout, within_seconds))
        for checker, call in zip(checkers, calls, strict=True)
    ]


def unmeasured(checker: Checker, reason: str, *, seconds: float = 0.0) -> CheckResult:
    """The result of a checker that found nothing out, in that time."""
    return _without_reading(checker, CheckStatus.UNKNOWN, reason, seconds)


def _build(name: str, config: Mapping[str, Any]) -> Checker:
    checker = CHECKERS[name]
    try:
        return checker(checker.Config.model_validate(dict(config)))
    except ValidationError as error:
        keys = [field.alias or name for name, field in checker.Config.model_fields.items()]
        faults = "; ".join(_fault(fault, keys) for fault in error.errors())
        raise PermanentError(f"checker {name}: {faults}") from None


def _fault(fault: Mapping[str, Any], keys: Sequence[str]) -> str:
    """One fault without the refused value, which may be a secret in the wrong place."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown config key {where!r}; one of {', '.join(keys)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"config key {where!r}: {message}" if where else message


def _measure(checker: Checker) -> CheckResult:
    started = time.monotonic()
    try:
        return _completed(checker, checker.measure(), time.monotonic() - started)
    except NotApplicableError as error:
        return _without_reading(checker, CheckStatus.SKIPPED, str(error), time.monotonic() - started)
    except UnstorableError as error:
        return unmeasured(checker, str(error), seconds=time.monotonic() - started)
    # Here a crash becomes a result, and whatever raised it.
    except BaseException as error:  # noqa: BLE001
        return unmeasured(checker, _described(error), seconds=time.monotonic() - started)


def _wait_for(checker: Checker, call: Call[CheckResult], started: float, timeout_seconds: float) -> CheckResult:
    try:
        return call.result(until=started + timeout_seconds)
    except HungError:
        return unmeasured(checker, f"timed out after {timeout_seconds:g} s", seconds=time.monotonic() - started)
    except NoThreadError as error:
        return unmeasured(checker, str(error))


def _without_reading(checker: Checker, status: CheckStatus, message: str, seconds: float) -> CheckResult:
    error = message if status is CheckStatus.UNKNOWN else None
    result = CheckResult(checker_name=checker.kind, status=status, message=message, error=error)
    return _completed(checker, result, seconds)


def _completed(checker: Checker, result: CheckResult, seconds: float) -> CheckResult:
    """The result as every database and every process takes it, with what the runner knows."""
    warning, critical = checker.config.thresholds
    known = {
        "metrics": _json_of(result.metrics),
        "duration_ms": round(seconds * 1000, 1),
        "warning_threshold": warning,
        "critical_threshold": critical,
    }
    return CheckResult.model_validate(storable({**result.model_dump(exclude={"metrics"}), **known}))


def _json_of(metrics: dict[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(metrics))
        if _depth(plain) > MAX_DEPTH:
            raise UnstorableError(f"metrics cannot be stored: they are nested deeper than {MAX_DEPTH} levels")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError(f"metrics cannot be stored: {error}") from None
    return plain


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _described(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  (an error that cannot even be told is one all the same)
        message = ""
    return f"{type(error).__name__}: {message}".removesuffix(": ")
