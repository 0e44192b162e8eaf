"""Asks the process that renders (sandbox.py): one for us all, warm, and a new one where it had to be ended.

It is a new interpreter, since a fork of a process with many threads can deadlock. It has none of our environment,
descriptors and rows: what a template can see is in the order. It ends when we do, since its socket is then closed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NoReturn

from tasks.check.pipes import LENGTH, receive
from tasks.notify.templating import sandbox
from tasks.notify.templating.sandbox import MAX_CPU_SECONDS, MAX_SECONDS, UnusableError

Mode = Literal["text", "html", "payload"]

# What an overloaded host may need to start an interpreter.
START_SECONDS = 5.0
# It ends itself in time. This much later it is ended.
GRACE_SECONDS = 1.0
GOODBYE_SECONDS = 1.0
# How long one message waits for those before it.
TURN_SECONDS = 10.0
# A template that cost us a process is not tried again for so long: five hundred messages must not wait for it.
REST_SECONDS = 600.0
MAX_RESTING = 100

# How Python finds itself and its packages, where it was told so; nothing else is handed on.
_HANDED_ON = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH")
_START = b"start"


@dataclass(frozen=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    line: socket.socket

    def end(self) -> int | None:
        """End it and return its code; None where the kernel holds it."""
        self.line.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GOODBYE_SECONDS)
        return self.process.returncode


class Renderer:
    """The rendering process of this one, started when it is first needed."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: _Child | None = None
        # Until when (monotonic) what is not tried again, and why.
        self._resting: dict[bytes, tuple[float, str]] = {}

    def render(self, mode: Mode, source: str, folder: Path, values: Mapping[str, Any]) -> str:
        """What the template gives for these values. Raises UnusableError that says why it gives nothing."""
        order = {"mode": mode, "source": source, "folder": str(folder), "values": values}
        key = sha256(f"{mode} {source}".encode(errors="replace")).digest()
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise UnusableError(f"{TURN_SECONDS:g} s were not enough for the messages before this one")
        try:
            self._refuse_resting(key)
            answer = self._ask(json.dumps(order).encode(), key)
        finally:
            self._turn.release()
        if "output" not in answer:
            raise UnusableError(answer.get("error") or "there was no answer")
        return answer["output"]

    def close(self) -> None:
        """End the process, if there is one; the next message starts another."""
        with self._turn:
            self._end()

    def _ask(self, order: bytes, key: bytes) -> dict[str, str]:
        child = self._running()
        until = time.monotonic() + MAX_SECONDS + GRACE_SECONDS
        child.line.settimeout(MAX_SECONDS + GRACE_SECONDS)
        try:
            child.line.sendall(LENGTH.pack(len(order)) + order)
            said = receive(child.line.fileno(), until=until)
        except TimeoutError:  # it does not even listen
            said = None
        except OSError:  # it is gone
            said = b""
        if not said:
            self._rest(key, _cause(self._end(), is_late=said is None))
        answer: dict[str, str] = json.loads(said or b"{}")
        if "exhausted" in answer:
            self._end()  # it is about to: the next order must not go to one that no longer listens
            self._rest(key, answer["exhausted"])
        return answer

    def _running(self) -> _Child:
        if self._child and self._child.process.poll() is None:
            return self._child
        self._end()
        self._refuse_resting(_START)
        try:
            self._child = child = _start()
            said = receive(child.line.fileno(), until=time.monotonic() + START_SECONDS)
        except OSError as error:  # the host is out of processes, memory or descriptors
            self._rest(_START, f"the renderer could not be started: {error.strerror}")
        if not said:
            self._end()
            self._rest(_START, "the renderer did not start")
        return child

    def _end(self) -> int | None:
        child, self._child = self._child, None
        return child.end() if child else None

    def _refuse_resting(self, key: bytes) -> None:
        until, reason = self._resting.get(key, (0.0, ""))
        if time.monotonic() < until:
            raise UnusableError(reason)

    def _rest(self, key: bytes, reason: str) -> NoReturn:
        """Leave it alone for a while, and say why."""
        now = time.monotonic()
        kept = [(each, rest) for each, rest in self._resting.items() if rest[0] > now][-MAX_RESTING:]
        self._resting = dict(kept)
        minutes = REST_SECONDS / 60
        self._resting[key] = (now + REST_SECONDS, f"{reason}; it is tried again after {minutes:g} minutes")
        raise UnusableError(reason)


def _start() -> _Child:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-B", str(Path(sandbox.__file__))],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _HANDED_ON if name in os.environ},
                start_new_session=True,  # Ctrl-C is for us: it ends when we do
            )
    except BaseException:
        ours.close()
        raise
    return _Child(process, ours)


def _cause(code: int | None, *, is_late: bool) -> str:
    if is_late or code == -signal.SIGALRM:
        return f"it took longer than {MAX_SECONDS:g} s"
    if code == -signal.SIGPROF:
        return f"it took more than {MAX_CPU_SECONDS:g} s of the processor's time"
    return f"the renderer ended with code {code}"


renderer = Renderer()
