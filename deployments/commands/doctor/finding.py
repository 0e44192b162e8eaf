"""What a check finds, and what it may look at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from storage.database import Database
from storage.settings import Settings


class Level(StrEnum):
    """How bad a finding is. `unknown`: it could not be looked at, because of another fault."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    FAULT = "fault"

    @property
    def rank(self) -> int:
        """Order of concern."""
        return list(Level).index(self)


class Finding(NamedTuple):
    """One thing that was found: in words, and what to do where it is not well."""

    level: Level
    message: str
    remedy: str = ""


def ok(message: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, message)


def unknown(message: str) -> Finding:
    """Nobody could tell."""
    return Finding(Level.UNKNOWN, message)


def warning(message: str, remedy: str) -> Finding:
    """It works, but not as it should or not for long."""
    return Finding(Level.WARNING, message, remedy)


def fault(message: str, remedy: str) -> Finding:
    """Something that people rely on does not work."""
    return Finding(Level.FAULT, message, remedy)


@dataclass(frozen=True)
class PrefectServer:
    """How the Prefect server is reached: `auth` is `user:password`, empty where it wants none."""

    api_url: str
    auth: str = field(repr=False)
    is_ours: bool


@dataclass(frozen=True)
class Scene:
    """An installation as checks see it. `database` is None where none answers."""

    settings: Settings
    environ: Mapping[str, str]
    database: Database | None
    database_fault: Finding | None
    prefect: PrefectServer


Check = Callable[[Scene], Iterator[Finding]]


def of_database(look: Callable[[Scene, Database], Iterator[Finding]]) -> Check:
    """A check that needs the database."""

    def check(scene: Scene) -> Iterator[Finding]:
        if scene.database is None:
            yield unknown("not looked at: the database does not answer")
        else:
            yield from look(scene, scene.database)

    return check
