"""Run the parts of `watchkeeper up` as child processes: in order, watched, restarted, drained.

No part outlives its supervisor:

- stop() ends the parts in reverse order; whatever a part leaves in its process group is killed after it.
- When the supervisor itself is killed (kill -9, out of memory), Linux sends every part its stop signal
  (PR_SET_PDEATHSIG), all at once and only once: a part that ignores the signal stays, and a part's own
  children are that part's business. The signal survives Popen's user=, because subprocess switches the user
  before it calls preexec_fn. It is lost where the program is setuid, has file capabilities or is not readable
  to that user, and where a part switches user later by itself.
- The kernel sends it when the thread that started the part ends, so start(), watch() and stop() belong in one
  thread that lives as long as the parts.
- On other systems parts outlive a kill -9 of the supervisor.

This restarts processes. Retries of work are Prefect's.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

TICK_SECONDS = 0.1  # how late an exit or a request to stop may be noticed
MAX_LOG_BYTES = 10_000_000
LOG_TAIL_LINES = 15
_LOG_TAIL_BYTES = 8_000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here, and as PyDLL, which keeps the GIL, so that little is left to do between fork and exec.
_prctl = ctypes.PyDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Part:
    """One child process, and how to tell that it works.

    `is_ready` holds up the watch while it runs, so it needs a short timeout of its own. `prepare` runs before
    each start, `after_ready` once, after the first readiness. Without `log_path` the part writes where the
    supervisor does; `log_path`'s folder must exist.
    """

    name: str
    command: Callable[[], list[str]]
    is_ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    popen_options: Mapping[str, Any] = field(default_factory=dict)
    log_path: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 30
    ready_timeout_seconds: float = 60
    prepare: Callable[[], None] | None = None
    after_ready: Callable[[], None] | None = None


class PartFailed(Exception):  # noqa: N818  # the name says what happened to which thing, as in PartFailed: receiver
    """A part will not stay up, does not become ready or cannot be started; the message ends with its log."""


@dataclass
class _Child:
    """A part's life so far. The times are time.monotonic()."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    started_monotonic: float = 0
    restart_due_monotonic: float | None = None
    is_ready: bool = False
    has_been_ready: bool = False
    failures: int = 0

    @property
    def up_seconds(self) -> float:
        return time.monotonic() - self.started_monotonic


class Supervisor:
    """Keeps `parts` up until a stop is asked for; use it as start(), watch(), finally stop()."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        say: Callable[[str], None],
        backoff_seconds: float = 0.5,
        backoff_limit_seconds: float = 15,
        give_up_after: int = 5,
        healthy_after_seconds: float = 5,
    ) -> None:
        self._children = [_Child(part) for part in parts]
        self._say = say
        self._backoff_seconds = backoff_seconds
        self._backoff_limit_seconds = backoff_limit_seconds
        self._give_up_after = give_up_after
        self._healthy_after_seconds = healthy_after_seconds
        self._signals_received = 0
        self._is_stop_requested = False
        self._is_hastened = False

    def start(self) -> None:
        """Start the parts in order, each once the one before is ready; return early when asked to stop.

        Raises PartFailed, or what `prepare` or `after_ready` raised, after stopping what was started.
        """
        try:
            for child in self._children:
                if not self._is_stop_requested:
                    self._start_first_time(child)
        except BaseException:  # whatever ends the start must not leave parts behind
            self.stop()
            raise

    def watch(self) -> None:
        """Restart parts that die, until a stop is asked for; raises PartFailed after stopping the others."""
        try:
            while not self._is_stop_requested:
                self._tick()
        except BaseException:  # as in start()
            self.stop()
            raise

    def request_stop(self) -> None:
        """Make start() and watch() return; safe in signal handlers and threads, for it only sets a flag."""
        self._is_stop_requested = True

    def stop(self) -> None:
        """Stop the parts in reverse order, each with its time to drain."""
        self._is_stop_requested = True
        for child in reversed(self._children):
            child.restart_due_monotonic = None
            if child.process is not None:
                self._drain(child, child.process)

    def pid(self, name: str) -> int | None:
        """The process id of a part, None while it is down."""
        child = next(child for child in self._children if child.part.name == name)
        return child.process.pid if child.process else None

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGINT ask for a stop; the second one of them kills whatever is still draining.

        To be called before start(): a part inherits a signal that is ignored (a script's `watchkeeper up &`
        ignores SIGINT), but not one that is handled.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals_received += 1
        self._is_hastened = self._signals_received > 1
        self.request_stop()

    def _start_first_time(self, child: _Child) -> None:
        try:
            self._launch(child)
        except OSError as error:
            raise PartFailed(f"{child.part.name} could not be started: {error}") from error
        while not child.is_ready and not self._is_stop_requested:
            self._tick()

    def _tick(self) -> None:
        """Look after every part that was started, also while a later one is still starting."""
        time.sleep(TICK_SECONDS)
        for child in self._children:
            if child.process is not None:
                self._look_after(child, child.process)
            elif child.restart_due_monotonic is not None and time.monotonic() >= child.restart_due_monotonic:
                self._relaunch(child)

    def _look_after(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:  # before the probe, which another process might answer
            self._bury(child, process)
        elif child.is_ready:
            if child.up_seconds >= self._healthy_after_seconds:
                child.failures = 0
        elif _answers(child.part):
            self._welcome(child)
        elif child.up_seconds > child.part.ready_timeout_seconds:
            self._refuse(child, process)

    def _launch(self, child: _Child) -> None:
        self._say(f"{child.part.name}: starting")
        if child.part.prepare:
            child.part.prepare()
        child.is_ready = False
        child.process = _spawn(child.part)
        child.started_monotonic = time.monotonic()

    def _relaunch(self, child: _Child) -> None:
        try:
            self._launch(child)
        except Exception as error:  # noqa: BLE001  # it could be started before: record why not now, try later
            reason = f"could not be started: {error}"
            self._restart_later(child, reason, reason)

    def _welcome(self, child: _Child) -> None:
        self._say(f"{child.part.name}: ready after {child.up_seconds:.1f} s")
        if child.part.after_ready and not child.has_been_ready:
            child.part.after_ready()
        child.is_ready = child.has_been_ready = True

    def _bury(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        _kill_group(process)
        code = process.returncode
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        times = child.failures + 1
        self._restart_later(
            child, f"died with {ending}", f"will not stay up: exited {times} times, last with {ending}"
        )

    def _refuse(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        """Kill a part that is not ready in time; at its first start give up and let stop() drain it."""
        reason = f"was not ready within {child.part.ready_timeout_seconds:g} s"
        if not child.has_been_ready:
            raise PartFailed(f"{child.part.name} {reason}{_log_tail(child.part)}")
        _kill_group(process)
        self._restart_later(child, reason, reason)

    def _restart_later(self, child: _Child, reason: str, last_reason: str) -> None:
        """Plan the restart, or give up with `last_reason`."""
        child.process = None
        child.failures += 1
        if child.failures >= self._give_up_after:
            raise PartFailed(f"{child.part.name} {last_reason}{_log_tail(child.part)}")
        delay_seconds = min(self._backoff_seconds * 2 ** (child.failures - 1), self._backoff_limit_seconds)
        child.restart_due_monotonic = time.monotonic() + delay_seconds
        self._say(f"{child.part.name}: {reason}, restarting in {delay_seconds:g} s")

    def _drain(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        self._say(f"{child.part.name}: stopping")
        asked_monotonic = time.monotonic()
        process.send_signal(child.part.stop_signal)
        deadline_monotonic = asked_monotonic + child.part.stop_timeout_seconds
        while process.poll() is None and time.monotonic() < deadline_monotonic and not self._is_hastened:
            time.sleep(TICK_SECONDS / 2)
        ending = "killed" if process.returncode is None else "stopped"
        _kill_group(process)
        child.process = None
        self._say(f"{child.part.name}: {ending} after {time.monotonic() - asked_monotonic:.1f} s")


def _spawn(part: Part) -> subprocess.Popen[bytes]:
    """Start the part in a session of its own, so that a terminal's Ctrl-C reaches it only through us."""
    options = {"stdin": subprocess.DEVNULL, **part.popen_options}
    with _opened_log(part.log_path) as log:
        return subprocess.Popen(
            part.command(),
            **options,
            env={**os.environ, **part.env},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_signal_when_orphaned(part.stop_signal),  # noqa: PLW1509  # see _prctl
        )


def _signal_when_orphaned(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl, number, supervisor_pid = _prctl, int(stop_signal), os.getpid()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != supervisor_pid:  # it died before it was asked: no signal would come
            os._exit(1)

    return ask_for_signal


def _opened_log(path: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    if path is None:
        return nullcontext()
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def _log_tail(part: Part) -> str:
    """The last lines of the part's log, to be put behind a message; nothing where there is no log."""
    if part.log_path is None or not part.log_path.exists():
        return ""
    with part.log_path.open("rb") as log:
        log.seek(max(0, part.log_path.stat().st_size - _LOG_TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join([":", *lines]) if lines else ""


def _answers(part: Part) -> bool:
    try:
        return part.is_ready()
    except Exception:  # noqa: BLE001  # a probe may fail in any way while its part is starting
        return False


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the part if it still runs, and what it left in its process group, which might hold its port.

    The group's id is the part's pid, which stays taken while the group has members, the part reaped or not.
    """
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says the second for zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
