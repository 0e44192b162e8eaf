"""How often things ended how, and how long they took: totals that only rise, whatever is pruned.

A scrape of 200,000 runs would count them all, and find fewer when old ones were pruned. So what ends adds to its
total in the transaction that ends it; the totals are a few hundred rows, each in a few lanes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count as counter

from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from storage.tables import Tally

# Upper bounds of durations, in seconds; what takes longer is in the last, which has none.
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ENDLESS = "+Inf"
# A row is locked until its transaction is on disk, and all that ends in the same way would wait for one row. So
# writers take turns at several, and whoever reads adds them up.
LANES = 16
_turns: Iterator[int] = counter()

_KEYS = ("name", "what", "outcome", "bound", "count", "seconds")
# As text: an upsert that is built is compiled anew each time, which took 1.9 ms of a transaction in place of 0.6.
_ADD = text(
    "INSERT INTO tallies (name, what, outcome, bound, lane, count, seconds)"
    " VALUES (:name, :what, :outcome, :bound, :lane, :count, :seconds)"
    " ON CONFLICT (name, what, outcome, bound, lane)"
    " DO UPDATE SET count = tallies.count + excluded.count, seconds = tallies.seconds + excluded.seconds"
)

RUNS = "runs"
STAGES = "stages"
NOTIFICATIONS = "notifications"
DELIVERIES = "deliveries"
PENDING = "tallies"


@dataclass
class Total:
    """What was counted under one name and two labels; `buckets` counts by upper bound, each without the others."""

    name: str
    what: str
    outcome: str
    buckets: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets.values())


def add(session: Session, name: str, *, what: str, outcome: str, seconds: float = 0.0, count: int = 1) -> None:
    """Count so many that end with this transaction.

    They are written just before it is committed: a total's row is everybody's, so nobody may wait for anything
    else while holding it.
    """
    bound = next((str(bound) for bound in BOUNDS if seconds <= bound), ENDLESS)
    if PENDING not in session.info:
        session.info[PENDING] = []
        event.listen(session, "before_commit", _write)
    session.info[PENDING].append((name, str(what), str(outcome), bound, count, seconds))


def _write(session: Session) -> None:
    if session.in_nested_transaction() or not session.info[PENDING]:
        return
    # A commit flushes after this, and what is flushed may wait for others' locks.
    session.flush()
    # One lane for all, and always in one order, so that no two wait for each other. SQLite has one writer alone.
    lane = 0 if session.get_bind().dialect.name == "sqlite" else next(_turns) % LANES
    session.execute(
        _ADD, [dict(zip(_KEYS, each, strict=True), lane=lane) for each in sorted(session.info[PENDING])]
    )
    session.info[PENDING].clear()


def read(session: Session) -> list[Total]:
    """All totals."""
    key = (Tally.name, Tally.what, Tally.outcome, Tally.bound)
    query = select(*key, func.sum(Tally.count), func.sum(Tally.seconds)).group_by(*key)
    found: dict[tuple[str, str, str], Total] = {}
    for name, what, outcome, bound, count, seconds in session.execute(query.order_by(Tally.name, Tally.what)):
        total = found.setdefault((name, what, outcome), Total(name, what, outcome))
        total.buckets[bound] = int(count)
        total.seconds += seconds
    return list(found.values())
