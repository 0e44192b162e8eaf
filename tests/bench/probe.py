"""A process beside the benchmark that works with one Prefect server: it reads requests, and answers with times.

Prefect takes its settings from the environment when it is imported, so each server needs a process of its own.
Each request is a line of JSON, the name of a function in probe_program.py and its arguments; so is each answer.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes


class Probe:
    """The benchmark's end of the line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, function: str, **arguments: Any) -> Any:
        """Call a function over there."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([function, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the probe ended in {function}; its reason is above")
        return json.loads(line)


@contextmanager
def probing(env: Mapping[str, str], cwd: Path) -> Iterator[Probe]:
    """A started probe. `cwd` decides which prefect.toml it reads, if any."""
    command = [sys.executable, str(Path(__file__).with_name("probe_program.py"))]
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield Probe(process)
    finally:
        processes.stop(process)
