"""The worker processes that live: each says so every few seconds."""

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.tables import Worker
from storage.tables.base import utc_now
from storage.upsert import insert_if_absent

BEAT_SECONDS = 5.0
# One that was not heard of for so long is taken for dead.
ALIVE_SECONDS = 20.0
FORGOTTEN_AFTER = timedelta(days=1)


def beat(
    session: Session, *, owner: str, hostname: str, pid: int, slots: int, in_flight: int, has_prefect: bool
) -> None:
    """Note that a worker lives, and how it fares."""
    values = {"slots": slots, "in_flight": in_flight, "has_prefect": has_prefect, "seen_at": utc_now()}
    worker = session.get(Worker, owner)
    if worker is None:
        table = Worker.__table__
        row = {"owner": owner, "hostname": hostname, "pid": pid, "started_at": utc_now(), **values}
        session.execute(insert_if_absent(session.connection(), table), [row])
        session.execute(delete(Worker).where(Worker.seen_at < utc_now() - FORGOTTEN_AFTER))
        return
    for key, value in values.items():
        setattr(worker, key, value)
    session.flush()


def leave(session: Session, owner: str) -> None:
    """Forget a worker that ends."""
    session.execute(delete(Worker).where(Worker.owner == owner))


def alive(session: Session) -> list[Worker]:
    """The workers that live, oldest first."""
    since = utc_now() - timedelta(seconds=ALIVE_SECONDS)
    return list(session.scalars(select(Worker).where(Worker.seen_at >= since).order_by(Worker.started_at)))
