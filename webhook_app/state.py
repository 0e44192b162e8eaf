"""What the app keeps between requests: the database, the acceptor, the known pipelines and the routes."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import cast

from flask import current_app
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from storage import routes as route_sets
from storage.database import Database
from storage.settings import Settings
from storage.tables import RouteSet
from tasks.definition.naming import INTERNAL
from tasks.definition.routes import Routes
from tasks.definition.takers import takers
from webhook_app.accept import Acceptor

PIPELINES_SECONDS = 5.0
FIRST_LOOK_SECONDS = 1.0
# A look that hangs for so long is given up for another, over a connection of its own.
HANGING_SECONDS = 30.0

log = logging.getLogger("watchkeeper.receiver")


@dataclass(frozen=True)
class HeldRoutes:
    """The rules that hold, and which version of them that is."""

    version: int
    routes: Routes


class AppState:
    """One per app."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.database = database
        self.acceptor = Acceptor(database, timeout_seconds=settings.accept_timeout_seconds)
        self._pipelines: list[str] = []
        self._routes: HeldRoutes | None = None
        self._has_looked = False
        self._looked_at = float("-inf")
        self._looking = threading.Lock()
        self._look_thread: threading.Thread | None = None

    def pipelines(self) -> list[str]:
        """The names of the active pipelines that read webhooks, at most a few seconds old.

        Hardly waits for the database: the old names stand while it is away, and none means not known.
        """
        self._look_again()
        return self._pipelines

    def is_known(self, pipeline: str) -> bool:
        """Whether a pipeline may take webhooks, as far as is known."""
        known = self.pipelines()
        return pipeline not in INTERNAL and (not known or pipeline in known)

    def routes(self) -> HeldRoutes | None:
        """The rules that hold, as fresh as the pipelines are; None where there are none, or they are not known."""
        self._look_again()
        return self._routes

    def _look_again(self) -> None:
        if self._is_old():
            with self._looking:
                if self._is_old():
                    self._looked_at = time.monotonic()
                    self._look_thread = threading.Thread(target=self._look, name="pipelines", daemon=True)
                    self._look_thread.start()
        if not self._has_looked and self._look_thread:
            # All who come before the first look is over wait for it: without the routes they would go astray.
            self._look_thread.join(max(0, self._looked_at + FIRST_LOOK_SECONDS - time.monotonic()))

    def _is_old(self) -> bool:
        age_seconds = time.monotonic() - self._looked_at
        if self._look_thread and self._look_thread.is_alive():
            return age_seconds > HANGING_SECONDS
        # Until one look was answered each request looks: without the routes the first ones would go astray.
        return not self._has_looked or age_seconds > PIPELINES_SECONDS

    def _look(self) -> None:
        try:
            with self.database.read() as session:
                self._routes = _read_routes(route_sets.current(session), self._routes)
                self._pipelines = takers(session)
                self._has_looked = True
        except SQLAlchemyError:
            return


def _read_routes(saved: RouteSet | None, held: HeldRoutes | None) -> HeldRoutes | None:
    if saved is None or (held and held.version == saved.version):
        return held if saved else None
    try:
        routes = Routes.model_validate({"rules": saved.rules, "default": saved.default_pipeline})
    except ValidationError:
        log.error("saved routes are faulty, the default takes all", extra={"version": saved.version})  # noqa: TRY400
        return None
    return HeldRoutes(saved.version, routes)


def state() -> AppState:
    """The state of the app that serves the present request."""
    return cast("AppState", current_app.extensions["watchkeeper"])
