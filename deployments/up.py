"""`watchkeeper up`: the whole stack on this machine, until it is told to stop."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.stack import Choice, Stack, StackError, plan
from deployments.supervisor import Supervisor
from storage import users
from storage.database import Database, default_url
from storage.settings import Settings, SettingsError
from tasks.check.checks import build_checkers
from tasks.errors import PermanentError
from tasks.ingest.sources import SOURCES
from webhook_app import exposure, keyring


def run(settings: Settings, choice: Choice, say: Callable[[str], None]) -> None:
    """Start the parts and keep them up. Raises SettingsError, StackError, PartFailed."""
    check_names(settings)
    access_notes = _check_access(settings) if choice.web else []
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"{settings.home} cannot be made ({error.strerror}); set WATCHKEEPER_HOME") from None
    with _only_one(settings.home):
        stack = plan(settings, choice, os.environ)
        for note in stack.notes:
            say(note)
        supervisor = Supervisor(stack.parts, say=say)
        supervisor.install_signal_handlers()
        supervisor.start()
        try:
            _announce(stack, choice, access_notes, say)
            supervisor.watch()
        finally:
            supervisor.stop()
    say("stopped")


def check_names(settings: Settings) -> None:
    """Refuse sources and checkers that there are not. Raises SettingsError."""
    if unknown := sorted(settings.source_timezones.keys() - SOURCES.keys()):
        raise SettingsError(
            f"WATCHKEEPER_SOURCE_TIMEZONES: unknown source {unknown[0]!r}; one of {', '.join(SOURCES)}"
        )
    try:
        build_checkers(None, settings.checkers)
    except PermanentError as error:
        raise SettingsError(f"WATCHKEEPER_CHECKERS: {error}") from None


def _announce(stack: Stack, choice: Choice, access_notes: list[str], say: Callable[[str], None]) -> None:
    if choice.web:
        say(f"receiver: {stack.settings.web_url}/alerts/webhook/")
    for note in access_notes:
        say(f"  {note}")
    if choice.web:
        say(f"console: {stack.settings.console_url}")
        if not _has_users(stack.settings):
            say("  open to this machine without signing in; `watchkeeper users add NAME` lets people in")
    if choice.worker and stack.settings.monitor:
        say(f"monitor: checks this machine every {stack.settings.monitor_interval_seconds:g} s")
    say(f"Prefect UI: {stack.prefect_ui_url}/")
    if stack.prefect_auth and not stack.settings.prefect_api_url:
        say(f"  its password is in {stack.settings.home / 'prefect-auth'}")
    say(f"logs: {stack.settings.home / 'logs'}; stop with Ctrl-C")


def _has_users(settings: Settings) -> bool:
    database = Database(default_url(settings), pool_size=1)
    try:
        with database.read() as session:
            return users.has_any(session)
    finally:
        database.dispose()


def _check_access(settings: Settings) -> list[str]:
    """What to say of who may post and read. Raises StackError for an address that must not be bound."""
    ring = keyring.load(settings)
    if reason := exposure.why_not_bound(settings.host, ring):
        raise StackError(reason)
    return exposure.notes(settings, ring)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"watchkeeper runs already with its data in {home}") from None
        yield
