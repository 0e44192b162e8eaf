"""The parts of `watchkeeper up`: what each is started with, and how to tell that it works."""

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments.ready import READY_FILE
from deployments.supervisor import Part
from storage import migrate
from storage.database import Database, default_url
from storage.embedded import EmbeddedServer, is_available
from storage.settings import Settings

PROBE_SECONDS = 2.0
PRIVATE = 0o600
DAY_SECONDS = 86_400


class StackError(Exception):
    """The stack cannot be started; the message says why and what to do."""


@dataclass(frozen=True)
class Choice:
    """Which parts run on this machine."""

    server: bool = True
    web: bool = True
    worker: bool = True


@dataclass(frozen=True)
class Stack:
    """The parts to run, and where they are found."""

    settings: Settings
    parts: list[Part]
    prefect_api_url: str
    prefect_auth: str = field(default="", repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def prefect_ui_url(self) -> str:
        """The Prefect UI's address."""
        return self.prefect_api_url.removesuffix("/api")


def plan(settings: Settings, choice: Choice, environ: Mapping[str, str]) -> Stack:
    """Decide on the parts. Raises StackError for a choice that cannot work."""
    notes: list[str] = []
    settings = _with_database(settings, notes)
    is_light = settings.is_light_mode
    prefect_database = environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL") or environ.get(
        "PREFECT_API_DATABASE_CONNECTION_URL"
    )
    starts_server = choice.server and not settings.prefect_api_url
    needs_embedded = not settings.database_url or (starts_server and not prefect_database and not is_light)
    if not choice.server and not settings.prefect_api_url and choice.worker:
        raise StackError("--no-server: set PREFECT_API_URL to the Prefect server that the worker is to use")
    embedded = EmbeddedServer(settings.home)
    api_url = settings.prefect_api_url or f"http://127.0.0.1:{settings.prefect_port}/api"
    auth = environ.get("PREFECT_API_AUTH_STRING", "")
    if starts_server:
        auth = auth or _own_auth_string(settings.home)
        if not is_light:
            prefect_database = prefect_database or embedded.url("prefect", "postgresql+asyncpg")
    env = _common_env(settings, api_url, auth)
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    prepare = _migration(settings)
    if needs_embedded:
        parts.append(_database_part(embedded, logs))
    if starts_server:
        _check_port("127.0.0.1", settings.prefect_port, "WATCHKEEPER_PREFECT_PORT")
        parts.append(_server_part(settings, env, prefect_database, auth, logs))
    if choice.worker:
        parts.append(_worker_part(settings, env, logs, prepare))
    if choice.web:
        _check_port(settings.host, settings.port, "--port")
        parts += [_web_part(name, settings, env, logs, prepare) for name in _receivers(settings)]
    return Stack(settings, parts, api_url, auth, notes)


def _with_database(settings: Settings, notes: list[str]) -> Settings:
    if settings.database_url:
        return settings
    reason = is_available(settings.home)
    if reason is None:
        return settings
    path = settings.home / "watchkeeper.db"
    notes.append(
        f"light mode: {reason}. SQLite at {path} is used instead: one run at a time, and storms take longer."
    )
    return settings.model_copy(update={"database_url": f"sqlite:///{path}"})


def _common_env(settings: Settings, api_url: str, auth: str) -> dict[str, str]:
    env = {
        "WATCHKEEPER_HOME": str(settings.home),
        "WATCHKEEPER_DATABASE_URL": settings.database_url,
        "WATCHKEEPER_HOST": settings.host,
        "WATCHKEEPER_PORT": str(settings.port),
        "WATCHKEEPER_MONITOR": str(settings.monitor),
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    return env | ({"PREFECT_API_AUTH_STRING": auth} if auth else {})


def _migration(settings: Settings) -> Callable[[], None]:
    """Migrations run before the first part that needs the tables, whichever that is."""
    done: list[bool] = []

    def migrate_once() -> None:
        if done:
            return
        database = Database(default_url(settings), pool_size=1)
        try:
            migrate.upgrade(database)
            with database.write() as session:
                from tasks.definition.library import save_presets  # noqa: PLC0415  (keeps `up --help` fast)

                save_presets(session)
        finally:
            database.dispose()
        done.append(True)

    return migrate_once


def _database_part(embedded: EmbeddedServer, logs: Path) -> Part:
    embedded.prepare()
    return Part(
        name="postgresql",
        command=embedded.command,
        is_ready=embedded.is_answering,
        prepare=embedded.prepare,
        after_ready=embedded.ensure_databases,
        popen_options=embedded.popen_options(),
        log_path=logs / "postgresql.log",
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
        ready_timeout_seconds=120,
    )


def _server_part(settings: Settings, env: dict[str, str], database: str | None, auth: str, logs: Path) -> Part:
    port = settings.prefect_port
    own = {
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
    }
    own |= {key: value for key, value in _retention_env(settings).items() if key not in os.environ}
    if database:
        own["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)
    return Part(
        name="prefect-server",
        command=lambda: command,
        is_ready=lambda: _answers(f"http://127.0.0.1:{port}/api/health", auth),
        env=env | own,
        popen_options={"cwd": prefect_settings_folder()},
        log_path=logs / "prefect-server.log",
        stop_timeout_seconds=10,
        ready_timeout_seconds=120,
    )


def _retention_env(settings: Settings) -> dict[str, str]:
    """Prefect's flow runs stay as long as our runs; 0 days are for ever."""
    vacuum = "PREFECT_SERVER_SERVICES_DB_VACUUM"
    if not settings.retain_runs_days:
        return {f"{vacuum}_ENABLED": "events"}
    return {f"{vacuum}_RETENTION_PERIOD": str(settings.retain_runs_days * DAY_SECONDS)}


def _worker_part(settings: Settings, env: dict[str, str], logs: Path, prepare: Callable[[], None]) -> Part:
    ready = settings.home / "worker.ready"

    def make_ready() -> None:
        ready.unlink(missing_ok=True)
        prepare()

    return Part(
        name="worker",
        command=lambda: [sys.executable, "-m", "deployments.worker"],
        is_ready=ready.exists,
        prepare=make_ready,
        env=env | {READY_FILE: str(ready)},
        log_path=logs / "worker.log",
        stop_timeout_seconds=settings.drain_seconds + 10,
    )


def _receivers(settings: Settings) -> list[str]:
    """The receivers' names: several share a port where the system can, since each is bound by one core."""
    count = settings.receivers if hasattr(socket, "SO_REUSEPORT") else 1
    return ["receiver", *(f"receiver-{number}" for number in range(2, count + 1))]


def _web_part(name: str, settings: Settings, env: dict[str, str], logs: Path, prepare: Callable[[], None]) -> Part:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104  (compared, not bound)
    return Part(
        name=name,
        command=lambda: [sys.executable, "-m", "deployments.web"],
        is_ready=lambda: _answers(f"http://{host}:{settings.port}/alerts/webhook/"),
        prepare=prepare,
        env=env,
        log_path=logs / f"{name}.log",
        stop_timeout_seconds=15,
    )


def prefect_settings_folder() -> Path:
    """The folder of prefect.toml: beside this module in an installed package, else the checkout's root."""
    here = Path(__file__).parent
    return here if (here / "prefect.toml").exists() else here.parent


def _own_auth_string(home: Path) -> str:
    """The credential of our Prefect server, made once and readable by the owner only."""
    path = home / "prefect-auth"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        path.touch(PRIVATE)
        path.write_text(f"watchkeeper:{secrets.token_urlsafe(24)}")
    return path.read_text().strip()


def _answers(url: str, auth: str = "") -> bool:
    user, _, password = auth.partition(":")
    credentials = (user, password) if auth else None
    return httpx.get(url, auth=credentials, timeout=PROBE_SECONDS, trust_env=False).status_code < 400  # noqa: PLR2004


def _check_port(host: str, port: int, option: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"{host}:{port} cannot be used ({error.strerror}); choose another with {option}"
            ) from None
