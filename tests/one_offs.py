"""One-off messages by HTTP, and the channels that they go to."""

import json
from collections.abc import Mapping
from typing import Any

from sinks import HttpSink

from storage import channels
from storage.database import Database
from storage.records import ChannelPolicy

SEND = "/notify/send/"
BATCH = "/notify/batch/"
MESSAGE: dict[str, Any] = {"title": "Backup done", "message": "It took 3 min."}


def save(
    database: Database, name: str, config: Mapping[str, Any], *, is_active: bool = True, rate: float | None = None
) -> None:
    """Save a generic channel."""
    with database.write() as session:
        channels.add_channel(
            session,
            name=name,
            driver="generic",
            config=config,
            is_active=is_active,
            policy=ChannelPolicy(rate_per_minute=rate),
        )


def bodies(sink: HttpSink) -> list[dict[str, Any]]:
    """What the sink was sent, in its order."""
    return [json.loads(request.body) for request in sink.requests]
