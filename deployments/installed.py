"""The installation's database for one command: the running one, or started for as long as it takes."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import make_url

from storage import database as database_room
from storage import migrate
from storage.database import Database, DatabaseUrlError
from storage.embedded import EmbeddedServer, running
from storage.settings import Settings


def is_installed(settings: Settings) -> bool:
    """Whether a database may hold something: one is named, or the embedded one was made once."""
    return bool(settings.database_url) or (EmbeddedServer(settings.home).data_dir / "PG_VERSION").exists()


@contextmanager
def installed_database(settings: Settings) -> Iterator[Database]:
    """The migrated database. The embedded server is started where it does not run already."""
    if settings.is_light_mode:
        _check_folder(settings)
    with nullcontext() if settings.database_url else running(settings.home):
        opened = Database(database_room.default_url(settings), pool_size=2)
        try:
            migrate.upgrade(opened)
            yield opened
        finally:
            opened.dispose()


def _check_folder(settings: Settings) -> None:
    """SQLite makes the file alone, and of a missing folder says only that it cannot. `up` makes the home too."""
    folder = Path(make_url(settings.database_url).database or "").absolute().parent
    if folder == settings.home:
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        raise DatabaseUrlError(f"WATCHKEEPER_DATABASE_URL: there is no folder {folder}; make it first")
