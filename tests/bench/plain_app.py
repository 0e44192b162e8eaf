"""The comparison for `accept`: what one writes first, an insert and a commit per request with Flask on waitress.

    python plain_app.py PORT DATABASE_URL

`POST /nothing` answers without storing, which shows what the HTTP part costs by itself.
"""

import hashlib
import json
import sys
from datetime import UTC, datetime
from uuid import uuid4

import waitress
from flask import Flask, Response, request
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

THREADS = 24  # as many as the receiver has


class Base(DeclarativeBase):
    """This app's one table."""


class PlainDelivery(Base):
    """A stored webhook."""

    __tablename__ = "plain_deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(unique=True)
    trace_id: Mapped[str] = mapped_column(index=True)
    source: Mapped[str]
    pipeline: Mapped[str]
    body: Mapped[bytes]
    sha256: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    received_at: Mapped[datetime]


def create_app(database_url: str) -> Flask:
    """The app, with its table made."""
    engine = create_engine(database_url, pool_size=THREADS, max_overflow=0)
    Base.metadata.create_all(engine)
    app = Flask(__name__)

    @app.post("/store")
    def store() -> Response:
        body = request.get_data()
        json.loads(body)
        row = PlainDelivery(
            delivery_id=str(uuid4()),
            trace_id=str(uuid4()),
            source="generic",
            pipeline=request.args.get("pipeline", "full"),
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
            status="waiting",
            received_at=datetime.now(UTC),
        )
        answer = {"status": "accepted", "delivery_id": row.delivery_id, "trace_id": row.trace_id}
        with Session(engine) as session:
            session.add(row)
            session.commit()
        return Response(json.dumps(answer), status=202, mimetype="application/json")

    @app.post("/nothing")
    def nothing() -> Response:
        json.loads(request.get_data())
        return Response('{"status": "accepted"}', status=202, mimetype="application/json")

    return app


if __name__ == "__main__":
    port, url = sys.argv[1:]
    waitress.serve(create_app(url), host="127.0.0.1", port=int(port), threads=THREADS, asyncore_use_poll=True)
