"""Prefect's server: reachable with our credentials, of our version, with what it is to run. Prefect itself, which
takes two seconds to import, is not needed to ask.
"""

import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from deployments.commands.doctor.finding import (
    Finding,
    PrefectServer,
    Scene,
    fault,
    of_database,
    ok,
    unknown,
    warning,
)
from storage import definitions
from storage.database import Database
from storage.schedule_standing import is_late
from storage.settings import Settings
from storage.tables import PipelineRun
from storage.tables.base import utc_now

CALL_SECONDS = 2.0
MONITOR = "local-monitor"


def find(current: Settings, environ: Mapping[str, str]) -> PrefectServer:
    """The server that the settings name, or else the one that `up` starts."""
    if current.prefect_api_url:
        auth = environ.get("PREFECT_API_AUTH_STRING", "")
        return PrefectServer(current.prefect_api_url.rstrip("/"), auth, is_ours=False)
    url = f"http://127.0.0.1:{current.prefect_port}/api"
    return PrefectServer(url, _read(current.home / "prefect-auth"), is_ours=True)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def get(server: PrefectServer, path: str) -> httpx.Response:
    """Ask its API. Raises httpx.HTTPError, and ValueError for an address that is none."""
    user, _, password = server.auth.partition(":")
    auth = (user, password) if server.auth else None
    try:
        url = f"{server.api_url}{path}"
        return httpx.get(url, auth=auth, timeout=CALL_SECONDS, trust_env=False, verify=_trusted())
    except httpx.InvalidURL as error:
        raise httpx.UnsupportedProtocol(str(error)) from None


@cache
def _trusted() -> ssl.SSLContext:
    """What httpx would read anew for each request, which takes it 20 ms of the processor."""
    return httpx.create_ssl_context(trust_env=False)


def reached(scene: Scene) -> Iterator[Finding]:
    """Whether it answers us, and its version is ours."""
    server = scene.prefect
    try:
        answer = get(server, "/admin/version")
    except httpx.HTTPError as error:
        start = "start `watchkeeper up`" if server.is_ours else "start it, or correct PREFECT_API_URL"
        said = f"{server.api_url} does not answer ({type(error).__name__})"
        yield fault(said, f"{start}; until then runs go without it, after WATCHKEEPER_DIRECT_AFTER_SECONDS")
        return
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        kept = f"{scene.settings.home / 'prefect-auth'}" if server.is_ours else "PREFECT_API_AUTH_STRING"
        yield fault(
            f"{server.api_url} refuses our credential ({answer.status_code})",
            f"another server may have the port: let {kept} hold its credential, or set WATCHKEEPER_PREFECT_PORT",
        )
    elif not answer.is_success:
        yield fault(f"{server.api_url} answers {answer.status_code}", "its log, logs/prefect-server.log, says why")
    else:
        yield _version_told(server, answer)


def _version_told(server: PrefectServer, answer: httpx.Response) -> Finding:
    here, there = version("prefect"), _json(answer)
    if there == here:
        return ok(f"Prefect {here} answers at {server.api_url}")
    said = f"{server.api_url} is Prefect {there!s:.20}, and here is {here}"
    return warning(said, f"install prefect=={here} there: the worker is tested with just that")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _deployment(scene: Scene, name: str) -> dict[str, Any] | None:
    """What the server tells of a deployment; None where it has none. Raises httpx.HTTPError."""
    answer = get(scene.prefect, f"/deployments/name/{name}/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    told = _json(answer.raise_for_status())
    return told if isinstance(told, dict) else None


@of_database
def deployments(scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether every active definition can be run there."""
    with database.read() as session:
        names = definitions.active_names(session)
    try:
        missing = [name for name in names if _deployment(scene, name) is None]
    except httpx.HTTPError:
        yield unknown("not looked at: Prefect's server does not answer")
        return
    if missing:
        remedy = "the worker registers them: see that one lives and reaches Prefect, and look for `pipeline not "
        yield fault(f"without a deployment: {', '.join(missing)}", f"{remedy}registered` in logs/worker.log")
    else:
        yield ok(f"{len(names)} registered: {', '.join(names)}")


@of_database
def schedules(scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether what is to run by itself does."""
    wanted = _wanted(scene.settings, database)
    if not wanted:
        yield ok(_without_schedules(scene))
    for name, every_seconds in wanted.items():
        try:
            deployment = _deployment(scene, name)
        except httpx.HTTPError:
            yield unknown(f"{name}: not looked at: Prefect's server does not answer")
            continue
        yield _scheduled(name, every_seconds, deployment, database)


def _without_schedules(scene: Scene) -> str:
    """What to say where our settings and rows wish for none: `up --monitor` is a wish of its own process alone."""
    try:
        monitor = _deployment(scene, MONITOR)
    except httpx.HTTPError:
        monitor = None
    if monitor and _is_on(monitor):
        return f"{MONITOR}: on in Prefect"
    return "none is set, so this host is not checked; `watchkeeper up --monitor` would"


def _is_on(deployment: dict[str, Any]) -> bool:
    return not deployment.get("paused") and any(each.get("active") for each in deployment.get("schedules") or [])


def _wanted(current: Settings, database: Database) -> dict[str, float | None]:
    """The pipelines with a schedule and its interval in seconds, which is None by cron."""
    with database.read() as session:
        rows = definitions.list_definitions(session, is_active=True)
    wanted = {row.name: row.schedule.get("every_seconds") for row in rows if row.schedule}
    if current.monitor:
        wanted.setdefault(MONITOR, current.monitor_interval_seconds)
    return wanted


def _scheduled(
    name: str, every_seconds: float | None, deployment: dict[str, Any] | None, database: Database
) -> Finding:
    if deployment is None:
        return fault(f"{name}: has no deployment that could run it", "see `deployments`")
    if not _is_on(deployment):
        return fault(
            f"{name}: its schedule is off in Prefect", f"switch it on: `prefect deployment resume {name}/{name}`"
        )
    with database.read() as session:
        last = session.scalar(
            select(PipelineRun.created_at)
            .where(PipelineRun.definition_name == name)
            .order_by(PipelineRun.id.desc())
            .limit(1)
        )
    if last is None:
        return ok(f"{name}: on, and has not run yet")
    ago = (utc_now() - last).total_seconds()
    said = f"{name}: last run {ago:.0f} s ago"
    if every_seconds and is_late(every_seconds, ago):
        return fault(f"{said}, though it is due every {every_seconds:g} s", "see `worker` and `prefect`")
    return ok(said)
