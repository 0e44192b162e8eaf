"""The database: whether it answers, what it is, and whether its tables are of this version."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from deployments.commands.doctor.finding import Finding, Scene, fault, of_database, ok, warning
from storage import migrate
from storage.database import Database, DatabaseUrlError, default_url
from storage.embedded import EmbeddedServer
from storage.redaction import redact_text
from storage.settings import Settings
from tasks.check.calls import Call, HungError

CONNECT_SECONDS = 4.0
SLOW_SECONDS = 0.25
# Checks look side by side, each with a connection of its own.
CONNECTIONS = 8
ROUNDS = 5


def open_running(current: Settings) -> tuple[Database | None, Finding | None]:
    """The database if it answers, else why not. Nothing is started, and no file is made."""
    if (missing := _missing(current)) is not None:
        return None, missing
    try:
        database = Database(default_url(current), pool_size=CONNECTIONS)
    except DatabaseUrlError as error:
        return None, fault(str(error), "correct it, and restart")
    try:
        Call(lambda: _answer(database), name="database").result(until=time.monotonic() + CONNECT_SECONDS)
    except HungError:
        return None, fault(f"no answer within {CONNECT_SECONDS:g} s", _remedy(current))
    except SQLAlchemyError as error:
        first_line = str(getattr(error, "orig", error)).partition("\n")[0]
        return None, fault(f"it does not answer: {redact_text(first_line)}", _remedy(current))
    return database, None


def _missing(current: Settings) -> Finding | None:
    """What to say where there is nothing to connect to: to open a SQLite file that is not there would make it."""
    start = "start `watchkeeper up`, which makes it"
    if not current.database_url:
        made = (EmbeddedServer(current.home).data_dir / "PG_VERSION").exists()
        return None if made else fault(f"no database was made yet in {current.home}", start)
    if not current.is_light_mode:
        return None
    file = make_url(current.database_url).database
    return None if not file or Path(file).exists() else fault(f"no database was made yet at {file}", start)


def _remedy(current: Settings) -> str:
    if current.database_url:
        return "see that it runs and that WATCHKEEPER_DATABASE_URL is right; webhooks are answered 503 meanwhile"
    return "it is not running: start `watchkeeper up`; logs/postgresql.log says why it would not start"


def _answer(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))


def answers(scene: Scene) -> Iterator[Finding]:
    """What it is and how fast."""
    if scene.database is None:
        yield scene.database_fault or fault("it does not answer", _remedy(scene.settings))
        return
    took = min(_rounds(scene.database)) * 1000
    said = f"{_kind(scene)} answers in {took:.1f} ms"
    if took > SLOW_SECONDS * 1000:
        yield warning(said, "look at the load of its machine, and at the way there")
    elif scene.settings.is_light_mode:
        yield ok(f"{said}; light mode: one run at a time")
    else:
        yield ok(said)


def _rounds(database: Database) -> Iterator[float]:
    for _ in range(ROUNDS):
        began_at = time.perf_counter()
        _answer(database)
        yield time.perf_counter() - began_at


def _kind(scene: Scene) -> str:
    database = scene.database
    if database is None or database.is_sqlite:
        return "SQLite"
    with database.read() as session:
        version = str(session.scalar(text("SHOW server_version"))).partition(" ")[0]
    return f"PostgreSQL {version}{'' if scene.settings.database_url else ', embedded,'}"


@of_database
def migrations(_scene: Scene, database: Database) -> Iterator[Finding]:
    """Whether the tables are those of this version."""
    wanted = migrate.head()
    with database.engine.connect() as connection:
        found = migrate.revision_of(connection)
    if found == wanted:
        yield ok(f"at {found}, as this version needs")
    elif not found:
        yield fault("it has no tables of ours", "start `watchkeeper up`, which makes them")
    elif found > wanted:
        yield fault(f"at {found}, newer than this version ({wanted})", "install the newer version of Watchkeeper")
    else:
        yield fault(f"at {found}, and this version needs {wanted}", "restart `watchkeeper up`, which migrates it")
