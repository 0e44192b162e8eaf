"""Measurements in a fork of a command's process, so that what hangs holds up neither its answer nor its end.

A thread that waits for a file server which took its request and never answers (a dead sshfs, any FUSE) keeps its
process from ending, whatever signal is sent. A worker has threads, so it cannot fork: see tasks/check/apart.py.
"""

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from storage.records import CheckResult
from tasks.check import apart
from tasks.check.apart import EVIDENCE_SECONDS, Measured
from tasks.check.checkers.base import Checker
from tasks.check.checks import build_checkers, run_checkers, unmeasured
from tasks.check.child import take
from tasks.check.pipes import receive, send

# Beyond the longest timeout: what an overloaded host may need to answer.
GRACE_SECONDS = 5.0
# What a process needs to end that nothing holds.
GOODBYE_SECONDS = 0.2
PAUSE_SECONDS = 0.001


class _LostError(Exception):
    """The fork gave no answer; the message says why."""


def measured(checkers: Sequence[Checker]) -> list[CheckResult]:
    """Run the checkers side by side. Where their process dies or never answers, all are UNKNOWN."""
    if sys.platform == "darwin":  # psutil links its frameworks, which must not be used after a fork
        return run_checkers(checkers)
    try:
        told = _forked(partial(_checked, checkers), max(checker.config.timeout for checker in checkers))
    except _LostError as lost:
        return [unmeasured(checker, str(lost)) for checker in checkers]
    return [CheckResult.model_validate(result) for result in told["results"]]


def measured_with_evidence(
    names: Sequence[str], configs: Mapping[str, Mapping[str, Any]], *, within_seconds: float
) -> Measured:
    """What tasks/check/apart.py measures, without the price of another interpreter. Raises as that does."""
    if sys.platform == "darwin":
        return apart.measure(names, configs, within_seconds=within_seconds)
    checkers = build_checkers(names, configs)
    longest = min(within_seconds, max([EVIDENCE_SECONDS, *(checker.config.timeout for checker in checkers)]))
    try:
        return Measured.model_validate(_forked(partial(_taken, checkers, longest), longest))
    except _LostError as lost:
        results = [unmeasured(checker, str(lost)) for checker in checkers]
        return Measured(results=results, evidence={"errors": [str(lost)]})


def _checked(checkers: Sequence[Checker]) -> dict[str, Any]:
    return {"results": [result.model_dump(mode="json") for result in run_checkers(checkers)]}


def _taken(checkers: Sequence[Checker], within_seconds: float) -> dict[str, Any]:
    return take(checkers, within_seconds=within_seconds).model_dump(mode="json")


def _forked(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What the work returned in a child of ours. Raises _LostError, and RuntimeError for a fault in it."""
    reading, writing = os.pipe()
    gc.freeze()  # what was imported is garbage to neither; without that both take longer to end
    child = os.fork()
    if not child:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    try:
        return _told(receive(reading, until=time.monotonic() + seconds + GRACE_SECONDS))
    finally:
        os.close(reading)
        _end(child)


def _work(work: Callable[[], dict[str, Any]], writing: int) -> NoReturn:
    """The child's life. It holds no file of the command's, whose reader would wait for it as well."""
    os.setsid()  # a group of its own, that its own children can be ended with it
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1, 2} - {writing}:  # a command that was started without them got one of these
        os.dup2(null, standard)
    try:
        answer = json.dumps(work())
    except BaseException:  # noqa: BLE001  (the command tells of it)
        answer = json.dumps({"fault": traceback.format_exc()})
    with suppress(OSError):
        send(writing, answer.encode())
    os._exit(0)


def _told(answer: bytes | None) -> dict[str, Any]:
    if answer is None:
        raise _LostError("the checkers' process did not answer")
    try:
        told: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise _LostError("the checkers' process died") from None
    if "fault" in told:
        raise RuntimeError(f"the checkers could not be run: {told['fault']}")
    return told


def _end(child: int) -> None:
    """End it with its children, and take note of that unless the kernel holds it."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)
    until = time.monotonic() + GOODBYE_SECONDS
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
