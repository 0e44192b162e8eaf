"""A receiver as its users run it, over either kind of database, with neither worker nor Prefect beside it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import LiveStack, live_stack


@contextmanager
def receiver_over(kind: str) -> Iterator[LiveStack]:
    """`kind`: PostgreSQL or SQLite."""
    if kind == "PostgreSQL":
        with live_stack("--no-server", "--no-worker") as stack:
            yield stack
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'watchkeeper.db'}"
        with live_stack("--no-server", "--no-worker", WATCHKEEPER_DATABASE_URL=url) as stack:
            yield stack
