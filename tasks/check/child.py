"""The process that measures for another (apart.py): one order on standard input, one answer on standard output."""

import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from storage.storable import storable, storable_text
from tasks.check.apart import EVIDENCE_SECONDS, Measured
from tasks.check.calls import Call, HungError
from tasks.check.checkers.base import Checker
from tasks.check.checks import build_checkers, run_checkers
from tasks.check.evidence import snapshot
from tasks.check.pipes import send


def main() -> None:
    """Measure, answer, and end with every thread and process that was left behind."""
    answers = _answers_alone()
    order = json.loads(sys.stdin.buffer.read())
    # Ends this process even where a checker lets no other thread run.
    faulthandler.dump_traceback_later(order["exit_after_seconds"], exit=True)
    checkers = build_checkers(order["names"], order["configs"])
    answer = take(checkers, within_seconds=order["within_seconds"])
    try:
        send(answers, answer.model_dump_json().encode())
    finally:  # also where nobody is left to read it, whose part that would have been
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


def take(checkers: Sequence[Checker], *, within_seconds: float) -> Measured:
    """Run the checkers, and take a snapshot beside them."""
    started = time.monotonic()
    evidence = Call(snapshot, name="evidence")
    results = run_checkers(checkers, within_seconds=within_seconds)
    return Measured(results=results, evidence=_evidence(evidence, started + EVIDENCE_SECONDS))


def _answers_alone() -> int:
    """Standard output under a number that no program inherits. What is printed goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _evidence(call: Call[dict[str, Any]], until: float) -> dict[str, Any]:
    try:
        evidence: dict[str, Any] = storable(call.result(until=until))
    except HungError:
        return {"errors": ["the snapshot was not ready in time"]}
    except Exception as error:  # noqa: BLE001  (the checks count without it)
        return {"errors": [storable_text(f"{type(error).__name__}: {error}")]}
    return evidence


if __name__ == "__main__":
    main()
