"""Measurements in a process of their own, which nobody waits for longer than the checkers may take.

A thread that hangs on a dead mount cannot be stopped, and a worker runs for months. So a worker measures in a
child (child.py): a new interpreter, since a fork of a process with many threads can deadlock. A child that the
kernel itself holds, since it waits for a file server that took its request and never answers, outlives even
SIGKILL until that ends; it is left to that, holding nothing of ours.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import IO, Any

from pydantic import ValidationError

from storage.records import CheckResult, Record
from storage.storable import storable_text
from tasks.check.calls import Call
from tasks.check.checkers.base import Checker
from tasks.check.checks import build_checkers, unmeasured
from tasks.check.pipes import Tail, receive

# What an overloaded host may need to start an interpreter and to read its answer.
START_SECONDS = 20.0
EVIDENCE_SECONDS = 5.0
GOODBYE_SECONDS = 1.0
MAX_ERROR_BYTES = 65536


class Measured(Record):
    """Results in the order of the checkers, and the snapshot of the host."""

    results: list[CheckResult]
    evidence: dict[str, Any]


def measure(
    names: Sequence[str], configs: Mapping[str, Mapping[str, Any]], *, within_seconds: float = 3600.0
) -> Measured:
    """Run the named checkers side by side and take a snapshot, in a child that is ended when this returns.

    No checker may take longer than `within_seconds`, whatever its timeout. A checker that hangs or crashes is
    UNKNOWN, and so are all if the child dies or cannot be started. Raises PermanentError for what
    `build_checkers` refuses.
    """
    checkers = build_checkers(names, configs)
    longest = min(within_seconds, max([EVIDENCE_SECONDS, *(checker.config.timeout for checker in checkers)]))
    order = {
        "names": list(names),
        "configs": {name: dict(config) for name, config in configs.items()},
        "within_seconds": longest,
        "exit_after_seconds": longest + START_SECONDS / 2,
    }
    try:
        child = _start()
    except OSError as error:  # the host is out of processes, memory or descriptors: that is news too
        return _none(checkers, f"the checkers' process could not be started: {error}")
    return _ask(child, order, checkers, seconds=longest + START_SECONDS)


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tasks.check.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # a group of its own, that its own children can be ended with it
    )


def _ask(
    child: "subprocess.Popen[bytes]", order: Mapping[str, Any], checkers: Sequence[Checker], *, seconds: float
) -> Measured:
    until = time.monotonic() + seconds
    assert child.stdin  # noqa: S101  (it was asked for)
    assert child.stdout  # noqa: S101
    assert child.stderr  # noqa: S101
    with child.stdout, child.stderr:
        errors = Tail(child.stderr.fileno(), max_bytes=MAX_ERROR_BYTES)
        try:
            # Beside us, since a child that does not read would hold us up.
            Call(partial(_give, child.stdin, json.dumps(order).encode()), name="order")
            answer = receive(child.stdout.fileno(), until=until, beside=errors)
        finally:
            _end(child)
    if answer is None:
        return _none(checkers, f"the checkers' process did not answer within {seconds:g} s")
    try:
        return Measured.model_validate_json(answer)
    except ValidationError:
        return _none(checkers, f"the checkers' process ended {_cause(child, errors.content)}")


def _give(pipe: IO[bytes], order: bytes) -> None:
    with pipe:
        pipe.write(order)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End it with its children: also those of one that is dead, as long as nobody has taken note of that."""
    with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of the dead
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GOODBYE_SECONDS)


def _cause(child: "subprocess.Popen[bytes]", errors: bytes) -> str:
    last_line = errors.decode(errors="replace").strip().rpartition("\n")[2][:500]
    return f"with code {child.returncode}: {last_line}".rstrip(": ")


def _none(checkers: Sequence[Checker], reason: str) -> Measured:
    results = [unmeasured(checker, reason) for checker in checkers]
    return Measured(results=results, evidence={"errors": [storable_text(reason)]})
