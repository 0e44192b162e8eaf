"""What the app keeps between requests: the database, the acceptor, and the known pipelines."""

import threading
import time
from typing import cast

from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from storage import definitions
from storage.database import Database
from storage.settings import Settings
from storage.tables import PipelineDefinition
from webhook_app.accept import Acceptor

# Node types that do not look at a webhook (the seeds' names).
BLIND = frozenset(["context", "intelligence", "notify", "transform"])
# What the relay runs for messages that no run has in hand (flows/presets). It takes no webhook, not even where
# somebody saved a definition of that name.
INTERNAL = frozenset(["redelivery"])
PIPELINES_SECONDS = 5.0
FIRST_LOOK_SECONDS = 1.0


class AppState:
    """One per app."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.database = database
        self.acceptor = Acceptor(database, timeout_seconds=settings.accept_timeout_seconds)
        self._pipelines: list[str] = []
        self._looked_at = float("-inf")
        self._looking = threading.Lock()

    def pipelines(self) -> list[str]:
        """The names of the active pipelines that read webhooks, at most a few seconds old.

        Hardly waits for the database: the old names stand while it is away, and none means not known.
        """
        is_old = time.monotonic() - self._looked_at > PIPELINES_SECONDS
        if is_old and self._looking.acquire(blocking=False):
            try:
                self._looked_at = time.monotonic()
                look = threading.Thread(target=self._look, name="pipelines", daemon=True)
                look.start()
                look.join(FIRST_LOOK_SECONDS if not self._pipelines else 0)
            finally:
                self._looking.release()
        return self._pipelines

    def _look(self) -> None:
        try:
            with self.database.read() as session:
                names = [name for name in definitions.active_names(session) if name not in INTERNAL]
                self._pipelines = [name for name in names if not _is_blind(definitions.find_active(session, name))]
        except SQLAlchemyError:
            return


def _is_blind(definition: PipelineDefinition | None) -> bool:
    # No node of it looks at the delivery: what that says would be lost, after a 202. A faulty definition is
    # another matter: its deliveries are kept in quarantine, until somebody has mended it.
    nodes = definition.config.get("nodes") if definition else None
    return isinstance(nodes, list) and all(isinstance(n, dict) and n.get("type") in BLIND for n in nodes)


def state() -> AppState:
    """The state of the app that serves the present request."""
    return cast("AppState", current_app.extensions["watchkeeper"])
