"""Real child processes and real signals. Most parts are shell scripts that keep a journal of their lives."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments import supervisor as supervisor_module
from deployments.supervisor import Part, PartFailed, Supervisor

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about the switch of user")

# A part that is up until its SIGTERM, and then takes a moment to drain.
STEADY = """
trap 'echo "$NAME draining" >> journal; sleep 0.2; echo "$NAME down" >> journal; exit 0' TERM
echo "$NAME up" >> journal
while :; do sleep 0.05; done
"""
STUBBORN = """
trap '' TERM
echo "$NAME up" >> journal
while :; do sleep 0.05; done
"""
CRASHING = 'echo "$NAME up" >> journal; echo "no such table: deliveries"; exit 3'

# The supervisor as `watchkeeper up` runs it: in a process of its own. Its parts come as (name, script) pairs.
PROGRAM = """
import ast, os, sys
from pathlib import Path
from deployments.supervisor import Part, Supervisor

def part(name, script):
    return Part(
        name=name,
        command=lambda: ["/bin/sh", "-c", script],
        is_ready=lambda: f"{name} up" in Path("journal").read_text(),
        env={"NAME": name},
        popen_options=OPTIONS,
    )

OPTIONS = ast.literal_eval(sys.argv[2])
supervisor = Supervisor(
    [part(*pair) for pair in ast.literal_eval(sys.argv[1])], say=lambda line: print(line, flush=True)
)
supervisor.install_signal_handlers()
try:
    supervisor.start()
    supervisor.watch()
finally:
    supervisor.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A working folder that every user may enter and write; pytest's own are private."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o777)
        (path / "journal").touch()
        (path / "journal").chmod(0o666)
        yield path


@pytest.fixture
def said() -> list[str]:
    return []


def eventually(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def journal(folder: Path) -> list[str]:
    return (folder / "journal").read_text().splitlines()


def part(folder: Path, name: str, script: str = STEADY, **changes: Any) -> Part:
    fields: dict[str, Any] = {
        "command": lambda: ["/bin/sh", "-c", script],
        "is_ready": lambda: f"{name} up" in journal(folder),
        "env": {"NAME": name},
        "popen_options": {"cwd": folder},
        "log_path": folder / f"{name}.log",
    }
    return Part(name=name, **(fields | changes))


def supervise(said: list[str], *parts: Part, **changes: Any) -> Supervisor:
    return Supervisor(parts, say=said.append, **({"backoff_seconds": 0.05} | changes))


@contextmanager
def running(supervisor: Supervisor) -> Iterator[Future[None]]:
    """Run it in a thread as `up` would, all of it in that one; on exit ask for the stop and await it."""

    def run() -> None:
        try:
            supervisor.start()
            supervisor.watch()
        finally:
            supervisor.stop()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            yield future
        finally:
            supervisor.request_stop()


@contextmanager
def program(
    folder: Path, *parts: tuple[str, str], options: dict[str, Any] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that supervises the parts, once they are all up; neither survives the test."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repr(list(parts)), repr(options or {})],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    children: list[psutil.Process] = []
    try:
        eventually(lambda: all(f"{name} up" in journal(folder) for name, _ in parts))
        children = psutil.Process(process.pid).children()
        yield process
    finally:
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()  # ends when the children, who write there too, are gone


def is_alive(pid: int) -> bool:
    """A zombie counts as gone; whoever adopted it is slow to bury it."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def pid_of(supervisor: Supervisor, name: str) -> int:
    """The pid, once the supervisor knows it: a part may write its journal before Popen has returned."""
    eventually(lambda: supervisor.pid(name))
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


def without_seconds(lines: list[str]) -> list[str]:
    return [line.partition(" after ")[0] for line in lines]


def test_parts_start_in_order_and_stop_in_reverse(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, *(part(folder, name) for name in ("database", "server", "receiver")))

    supervisor.start()
    supervisor.stop()

    assert journal(folder) == [
        *("database up", "server up", "receiver up"),
        *("receiver draining", "receiver down", "server draining", "server down"),
        *("database draining", "database down"),
    ]
    names = ("database", "server", "receiver")
    assert without_seconds(said) == [
        *(f"{name}: {event}" for name in names for event in ("starting", "ready")),
        *(f"{name}: {event}" for name in reversed(names) for event in ("stopping", "stopped")),
    ]


def test_part_is_started_only_when_the_one_before_is_ready(folder: Path, said: list[str]) -> None:
    slow = part(folder, "server", "sleep 0.4;" + STEADY)
    journal_at_start: list[str] = []
    next_one = part(folder, "receiver", prepare=lambda: journal_at_start.extend(journal(folder)))
    supervisor = supervise(said, slow, next_one)

    supervisor.start()
    supervisor.stop()

    assert journal_at_start == ["server up"]


def test_killed_part_is_restarted_and_the_others_are_untouched(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, part(folder, "database"), part(folder, "receiver"))

    with running(supervisor):
        eventually(lambda: journal(folder) == ["database up", "receiver up"])
        database, receiver = pid_of(supervisor, "database"), pid_of(supervisor, "receiver")
        os.kill(receiver, signal.SIGKILL)
        eventually(lambda: journal(folder).count("receiver up") == 2)

        assert pid_of(supervisor, "receiver") != receiver
        assert pid_of(supervisor, "database") == database
        assert "receiver: died with signal 9, restarting in 0.05 s" in said


def test_exit_is_noticed_within_a_fifth_of_a_second(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, part(folder, "receiver"), healthy_after_seconds=0)
    noticed_seconds = []

    with running(supervisor):
        for times in (1, 2, 3):
            eventually(lambda times=times: sum("ready" in line for line in said) == times)
            killed = time.monotonic()
            os.kill(pid_of(supervisor, "receiver"), signal.SIGKILL)
            eventually(lambda times=times: sum("died" in line for line in said) == times)
            noticed_seconds.append(time.monotonic() - killed)

    assert min(noticed_seconds) < 0.2  # the best of three: the machine may be busy


def test_part_that_dies_while_a_later_one_starts_is_restarted(folder: Path, said: list[str]) -> None:
    needs_second_database = lambda: journal(folder).count("database up") == 2  # noqa: E731  # reads best here
    server = part(folder, "server", is_ready=needs_second_database)
    supervisor = supervise(said, part(folder, "database"), server)

    with running(supervisor):
        eventually(lambda: "server up" in journal(folder))
        os.kill(pid_of(supervisor, "database"), signal.SIGKILL)
        eventually(lambda: any("server: ready" in line for line in said))


def test_backoff_of_one_part_does_not_hold_up_another(folder: Path, said: list[str]) -> None:
    parts = (part(folder, "database"), part(folder, "receiver"))
    supervisor = supervise(said, *parts, backoff_seconds=2, healthy_after_seconds=0)

    with running(supervisor):
        eventually(lambda: journal(folder) == ["database up", "receiver up"])
        os.kill(pid_of(supervisor, "database"), signal.SIGKILL)
        eventually(lambda: supervisor.pid("database") is None)
        os.kill(pid_of(supervisor, "receiver"), signal.SIGKILL)
        eventually(lambda: supervisor.pid("receiver") is None, seconds=1)

        assert supervisor.pid("database") is None


def test_backoff_doubles_up_to_its_limit(folder: Path, said: list[str]) -> None:
    crashing = part(folder, "receiver", CRASHING, is_ready=lambda: False)
    supervisor = supervise(said, crashing, backoff_limit_seconds=0.15)

    with pytest.raises(PartFailed):
        supervisor.start()

    assert [line for line in said if "died" in line] == [
        f"receiver: died with exit code 3, restarting in {seconds} s" for seconds in (0.05, 0.1, 0.15, 0.15)
    ]


def test_crash_loop_ends_with_the_log_and_everything_stopped(folder: Path, said: list[str]) -> None:
    steady = part(folder, "database")
    supervisor = supervise(said, steady, part(folder, "receiver", CRASHING, is_ready=lambda: False))

    with pytest.raises(PartFailed) as failure:
        supervisor.start()

    first_line, *log = str(failure.value).splitlines()
    assert first_line == "receiver will not stay up: exited 5 times, last with exit code 3:"
    assert log == ["no such table: deliveries"] * 5
    assert journal(folder)[-1] == "database down"
    assert supervisor.pid("database") is None


def test_crash_loop_while_watched_stops_the_others_in_reverse_order(folder: Path, said: list[str]) -> None:
    once = f'[ -e crash ] && {{ {CRASHING}; }}; touch crash; echo "$NAME up" >> journal; sleep 0.5; exit 3'
    parts = (part(folder, "database"), part(folder, "server"), part(folder, "receiver", once))
    supervisor = supervise(said, *parts, give_up_after=3)

    with running(supervisor) as run, pytest.raises(PartFailed, match="exited 3 times, last with exit code 3"):
        run.result(timeout=10)

    assert journal(folder)[-4:] == ["server draining", "server down", "database draining", "database down"]


def test_failures_are_forgotten_after_a_healthy_while(folder: Path, said: list[str]) -> None:
    short_lived = part(folder, "receiver", 'echo "$NAME up" >> journal; sleep 0.4; exit 3')
    supervisor = supervise(said, short_lived, give_up_after=2, healthy_after_seconds=0.1)

    with running(supervisor) as run:
        eventually(lambda: journal(folder).count("receiver up") == 4)

        assert not run.done()


def test_part_never_ready_fails_and_stops_what_was_started(folder: Path, said: list[str]) -> None:
    script = "echo waiting for the lock;" + STEADY
    never = part(folder, "server", script, is_ready=lambda: False, ready_timeout_seconds=0.3)
    supervisor = supervise(said, part(folder, "database"), never, part(folder, "receiver"))

    with pytest.raises(PartFailed, match=r"\Aserver was not ready within 0.3 s:\nwaiting for the lock\Z"):
        supervisor.start()

    assert journal(folder)[2:] == ["server draining", "server down", "database draining", "database down"]


def test_restarted_part_that_is_not_ready_again_counts_as_failing(folder: Path, said: list[str]) -> None:
    is_first_start = lambda: journal(folder).count("server up") == 1  # noqa: E731  # reads best here
    ready_once = part(folder, "server", is_ready=is_first_start, ready_timeout_seconds=0.5)
    supervisor = supervise(said, part(folder, "database"), ready_once, give_up_after=3)

    with running(supervisor) as run:
        eventually(lambda: any("server: ready" in line for line in said))
        os.kill(pid_of(supervisor, "server"), signal.SIGKILL)
        with pytest.raises(PartFailed, match=r"server was not ready within 0\.5 s"):
            run.result(timeout=10)

    assert "server: was not ready within 0.5 s, restarting in 0.1 s" in said
    assert journal(folder)[-1] == "database down"


def test_probe_that_raises_means_not_ready_yet(folder: Path, said: list[str]) -> None:
    (folder / "journal").unlink()
    supervisor = supervise(said, part(folder, "receiver", "sleep 0.3;" + STEADY))

    supervisor.start()
    supervisor.stop()

    assert without_seconds(said)[1] == "receiver: ready"


def test_prepare_runs_before_each_start_and_after_ready_once(folder: Path, said: list[str]) -> None:
    receiver = part(
        folder,
        "receiver",
        prepare=lambda: said.append("prepared"),
        after_ready=lambda: said.append("migrated"),
    )
    supervisor = supervise(said, receiver)

    with running(supervisor):
        eventually(lambda: "migrated" in said)
        os.kill(pid_of(supervisor, "receiver"), signal.SIGKILL)
        eventually(lambda: sum("ready" in line for line in said) == 2)

    assert (said.count("prepared"), said.count("migrated")) == (2, 1)


def test_failing_migration_stops_everything_and_is_raised_as_it_is(folder: Path, said: list[str]) -> None:
    def migrate() -> None:
        raise LookupError("no such revision")

    supervisor = supervise(said, part(folder, "database", after_ready=migrate))

    with pytest.raises(LookupError, match="no such revision"):
        supervisor.start()

    assert journal(folder)[-1] == "database down"


def test_missing_program_is_named(folder: Path, said: list[str]) -> None:
    missing = part(folder, "server", command=lambda: ["/nowhere/postgres"])
    supervisor = supervise(said, part(folder, "database"), missing)

    with pytest.raises(PartFailed, match=r"server could not be started: .*'/nowhere/postgres'"):
        supervisor.start()

    assert journal(folder)[-1] == "database down"


def test_program_missing_at_a_restart_is_tried_again(folder: Path, said: list[str]) -> None:
    shell = folder / "shell"
    shell.symlink_to("/bin/sh")
    supervisor = supervise(said, part(folder, "receiver", command=lambda: [str(shell), "-c", STEADY]))

    with running(supervisor):
        eventually(lambda: "receiver up" in journal(folder))
        shell.unlink()
        os.kill(pid_of(supervisor, "receiver"), signal.SIGKILL)
        eventually(lambda: any("could not be started" in line for line in said))
        shell.symlink_to("/bin/sh")
        eventually(lambda: journal(folder).count("receiver up") == 2)


def test_stop_asked_for_during_start_ends_it_early(folder: Path, said: list[str]) -> None:
    never = part(folder, "server", is_ready=lambda: False)
    supervisor = supervise(said, part(folder, "database"), never, part(folder, "receiver"))

    with running(supervisor) as run:
        eventually(lambda: "server up" in journal(folder))
        supervisor.request_stop()
        run.result(timeout=5)

    assert "receiver up" not in journal(folder)
    assert journal(folder)[-4:] == ["server draining", "server down", "database draining", "database down"]


def test_stop_twice_is_the_same_as_once(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, part(folder, "receiver"))
    supervisor.start()

    supervisor.stop()
    supervisor.stop()

    assert journal(folder).count("receiver draining") == 1
    assert supervisor.pid("receiver") is None


def test_part_that_does_not_stop_in_time_is_killed(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, part(folder, "worker", STUBBORN, stop_timeout_seconds=0.3))
    supervisor.start()
    pid = pid_of(supervisor, "worker")

    supervisor.stop()

    assert not is_alive(pid)
    assert said[-1].startswith("worker: killed after 0.")


def test_part_gets_its_own_stop_signal(folder: Path, said: list[str]) -> None:
    script = "trap 'echo fast shutdown >> journal; exit 0' USR1;" + STEADY
    supervisor = supervise(said, part(folder, "database", script, stop_signal=signal.SIGUSR1))
    supervisor.start()

    supervisor.stop()

    assert journal(folder) == ["database up", "fast shutdown"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_part_leaves_behind_is_killed(folder: Path, said: list[str], end: signal.Signals) -> None:
    script = "sleep 60 & echo $! >> orphans;" + STEADY
    supervisor = supervise(said, part(folder, "worker", script))

    with running(supervisor):
        eventually(lambda: "worker up" in journal(folder))
        orphan = int((folder / "orphans").read_text())
        os.kill(pid_of(supervisor, "worker"), end)
        eventually(lambda: not is_alive(orphan))


def test_part_has_a_session_of_its_own(folder: Path, said: list[str]) -> None:
    supervisor = supervise(said, part(folder, "receiver"))
    supervisor.start()

    try:
        pid = pid_of(supervisor, "receiver")
        assert os.getsid(pid) == pid
    finally:
        supervisor.stop()


def test_large_log_is_put_aside_at_a_start(folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "MAX_LOG_BYTES", 1000)
    log = folder / "receiver.log"
    supervisor = supervise(said, part(folder, "receiver", "echo hello;" + STEADY))
    log.write_text("x" * 990)

    with running(supervisor):
        for starts in (1, 2, 3):  # the log has 996, then 1002 bytes, and the third start puts it aside
            eventually(lambda starts=starts: journal(folder).count("receiver up") == starts)
            if starts < 3:
                os.kill(pid_of(supervisor, "receiver"), signal.SIGKILL)

    assert log.read_text() == "hello\n"
    assert (folder / "receiver.log.1").read_text() == "x" * 990 + "hello\n" * 2


def test_message_has_only_the_end_of_a_long_log(folder: Path, said: list[str]) -> None:
    crashing = part(folder, "receiver", "seq 1 5000; exit 3", is_ready=lambda: False)
    supervisor = supervise(said, crashing, give_up_after=1)

    with pytest.raises(PartFailed) as failure:
        supervisor.start()

    assert str(failure.value).splitlines()[1:] == [str(number) for number in range(4986, 5001)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_supervisor_drains_in_reverse_order(folder: Path, number: signal.Signals) -> None:
    with program(folder, ("database", STEADY), ("receiver", STEADY)) as process:
        process.send_signal(number)

        assert process.wait(timeout=10) == 0

    assert journal(folder)[2:] == [
        *("receiver draining", "receiver down"),
        *("database draining", "database down"),
    ]


def test_second_signal_kills_what_is_still_draining(folder: Path) -> None:
    with program(folder, ("database", STUBBORN), ("receiver", STUBBORN)) as process:
        children = [child.pid for child in psutil.Process(process.pid).children()]
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        eventually(lambda: "receiver: stopping" in process.stdout.readline())
        second = time.monotonic()
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
        assert time.monotonic() - second < 5  # of the 30 s that each had
        assert not any(is_alive(pid) for pid in children)


@on_linux
@pytest.mark.parametrize("user", ["", pytest.param("nobody", marks=needs_root)])
def test_killed_supervisor_leaves_no_part_behind(folder: Path, user: str) -> None:
    options: dict[str, Any] = {}
    if user:
        entry = pwd.getpwnam(user)
        options = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with program(folder, ("database", STEADY), ("receiver", STEADY), options=options) as process:
        children = psutil.Process(process.pid).children()
        assert not user or {child.username() for child in children} == {user}

        process.kill()

        eventually(lambda: not any(is_alive(child.pid) for child in children))
    assert sorted(journal(folder)[-2:]) == ["database down", "receiver down"]


def test_supervisor_imports_nothing_heavy() -> None:
    heavy = ("prefect", "flask", "sqlalchemy", "httpx", "pydantic")
    script = f"import sys, deployments.supervisor; print([name for name in {heavy!r} if name in sys.modules])"

    answer = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)

    assert answer == "[]\n"
