"""The machine: settings, the home folder, disks, the clock, and the receiver's port."""

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from sqlalchemy import text
from sqlalchemy.engine import make_url

from deployments.commands.doctor.finding import Finding, Scene, fault, ok, unknown, warning
from deployments.commands.doctor.prefect_server import get
from storage.settings import Settings, SettingsError
from tasks.errors import PermanentError
from webhook_app import exposure, keyring
from webhook_app.locality import is_loopback

PROBE_SECONDS = 2.0
MIB = 1024 * 1024
# Below these nothing more can be stored soon, or now: bytes, and shares of all bytes or inodes.
FEW_BYTES, NO_BYTES = 1024 * MIB, 200 * MIB
FEW_SHARE, NO_SHARE = 0.10, 0.02
SKEW_SECONDS, WRONG_SECONDS = 2.0, 30.0
# A Date header tells whole seconds.
HEADER_SECONDS = 1.0


def settings(scene: Scene) -> Iterator[Finding]:
    """Names in settings that other parts know: sources, checkers."""
    from deployments.up import check_names  # noqa: PLC0415  (it brings the whole of `up`)

    try:
        check_names(scene.settings)
    except SettingsError as error:
        yield fault(str(error), "correct it where Watchkeeper's environment is set, and restart")
    else:
        yield ok("all can be used")


def home(scene: Scene) -> Iterator[Finding]:
    """The folder of all data."""
    folder = scene.settings.home
    if not folder.is_dir():
        yield warning(f"{folder} is not there", "start `watchkeeper up`, which makes it, or set WATCHKEEPER_HOME")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fault(f"{folder} is not this user's to write", "run as the folder's owner, or set WATCHKEEPER_HOME")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IWOTH:
        yield fault(f"everybody may write to {folder} ({mode:o})", f"chmod o-w {folder}")
    else:
        yield ok(f"{folder} (mode {mode:o})")
    secret = folder / "prefect-auth"
    if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        yield fault(f"others may read {secret}, the credential of Prefect's server", f"chmod 600 {secret}")


def disk(scene: Scene) -> Iterator[Finding]:
    """Room for more, where the data lies."""
    for folder in dict.fromkeys(_folders(scene.settings)):
        yield _space_in(folder)


def _folders(current: Settings) -> Iterator[Path]:
    yield _existing(current.home)
    if current.is_light_mode and (file := make_url(current.database_url).database):
        yield _existing(Path(file).absolute().parent)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _space_in(folder: Path) -> Finding:
    space, inodes = shutil.disk_usage(folder), os.statvfs(folder)
    # Some filesystems make inodes as they need them, and tell none.
    free_inodes = inodes.f_favail / inodes.f_files if inodes.f_files else 1.0
    said = f"{folder}: {space.free / MIB / 1024:.1f} GiB free of {space.total / MIB / 1024:.0f}"
    said += f", {free_inodes:.0%} of inodes free"
    remedy = "free some space there, or keep less: WATCHKEEPER_RETAIN_… say for how many days"
    share = space.free / space.total if space.total else 0.0
    if space.free < NO_BYTES or free_inodes < NO_SHARE:
        return fault(said, remedy)
    if (share < FEW_SHARE and space.free < FEW_BYTES * 10) or space.free < FEW_BYTES or free_inodes < FEW_SHARE:
        return warning(said, remedy)
    return ok(said)


def clock(scene: Scene) -> Iterator[Finding]:
    """Whether the database's and Prefect's machines have the same time as this one."""
    found = list(_skews(scene))
    if not found:
        yield unknown("not compared: neither the database nor Prefect's server tells the time")
    for whose, skew in found:
        said = f"{whose} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine"
        remedy = "let both machines keep their time by NTP (`timedatectl`): leases and schedules go by it"
        if abs(skew) > WRONG_SECONDS:
            yield fault(said, remedy)
        elif abs(skew) > SKEW_SECONDS:
            yield warning(said, remedy)
        else:
            yield ok(f"{whose} has the same time")


def _skews(scene: Scene) -> Iterator[tuple[str, float]]:
    if scene.database and not scene.database.is_sqlite:
        with scene.database.read() as session:
            before = datetime.now(UTC)
            there: datetime | None = session.scalar(text("SELECT clock_timestamp()"))
        if there:
            yield "the database", _between(there, before, datetime.now(UTC))
    before = datetime.now(UTC)
    try:
        [*_, date] = get(scene.prefect, "/health").headers.get_list("Date")
        there = parsedate_to_datetime(date)
    except (httpx.HTTPError, ValueError):  # nobody is there, or it tells no time
        return
    skew = _between(there, before, datetime.now(UTC))
    yield "Prefect's server", 0.0 if -HEADER_SECONDS <= skew <= 0 else skew


def _between(there: datetime, before: datetime, after: datetime) -> float:
    """By how many seconds another clock is ahead of ours, which it was asked for between two times."""
    if before <= there <= after:
        return 0.0
    return (there - after).total_seconds() if there > after else (there - before).total_seconds()


def receiver(scene: Scene) -> Iterator[Finding]:
    """Whether webhooks find somebody."""
    current = scene.settings
    host = "127.0.0.1" if current.host in exposure.EVERY_ADDRESS else current.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{current.port}/alerts/webhook/"
    try:
        status = httpx.get(url, timeout=PROBE_SECONDS, trust_env=False).status_code
    except httpx.HTTPError as error:
        remedy = "start `watchkeeper up`; where the receiver runs on another machine, ask there"
        yield fault(f"nobody answers at {url} ({type(error).__name__})", remedy)
        return
    if status == httpx.codes.OK:
        yield ok(f"answers at {url}")
    else:
        yield fault(f"{url} answers {status}", "another program may have the port: set WATCHKEEPER_PORT")


def sources(scene: Scene) -> Iterator[Finding]:
    """Who may post."""
    try:
        ring = keyring.load(scene.settings)
    except (SettingsError, PermanentError) as error:
        yield fault(str(error), "correct it, and restart: until then no receiver starts")
        return
    if reason := exposure.why_not_bound(scene.settings.host, ring):
        yield fault(reason, f"set {keyring.TOKEN}, or {keyring.ENTRIES}, or WATCHKEEPER_HOST=127.0.0.1")
        return
    for note in exposure.notes(scene.settings, ring):
        if is_loopback(scene.settings.host):
            yield ok(note)
        else:
            yield warning(note, "set it where others than this machine are meant to")
    if not ring.is_empty and not ring.open_to_this_machine:
        yield ok("every source has a secret")
