import json
import subprocess
import sys
import time
from pathlib import Path

from ended import is_gone

ORDER = {"names": ["memory"], "configs": {}, "within_seconds": 20, "exit_after_seconds": 20}
PROGRAM = """
import os, re, subprocess, sys
from tasks.check import child
from tasks.check.checkers.memory import Memory

def measure(self):
    {body}

Memory.measure = measure
child.main()
"""


def test_a_checker_that_lets_no_other_thread_run_ends_the_child(tmp_path: Path) -> None:
    """A pattern that backtracks for ever holds the interpreter's lock, so that no timeout of Python's comes up."""
    program = PROGRAM.format(body='re.match(r"(a+)+$", "a" * 60 + "b")')
    (tmp_path / "order").write_text(json.dumps({**ORDER, "exit_after_seconds": 2}))
    started = time.monotonic()

    with (tmp_path / "order").open() as given:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdin=given, capture_output=True, timeout=30, check=False
        )

    assert ended.returncode != 0
    assert time.monotonic() - started < 10


def test_a_child_whose_worker_was_killed_ends_what_its_checkers_started(tmp_path: Path) -> None:
    pid_path = tmp_path / "pid"
    body = f"""process = subprocess.Popen(["sleep", "60"])
    open({str(pid_path)!r}, "w").write(str(process.pid))
    raise ValueError"""
    asking = f"""
import json, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", {PROGRAM.format(body=body)!r}],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
)
child.stdin.write({json.dumps(ORDER).encode()!r})
child.stdin.close()
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", asking], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        child = int(worker.stdout.readline())

        worker.kill()

    assert is_gone(child)
    assert is_gone(int(pid_path.read_text()))
