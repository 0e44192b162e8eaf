"""A body as each source sends it, for `run-pipeline --sample`."""

import json
from datetime import datetime, tzinfo
from importlib.resources import files
from string import Template
from typing import Any
from uuid import uuid4

# What --sample is, where no --source says otherwise.
SOURCE = "generic"


def sample(source: str, zone: tzinfo) -> Any:
    """The sample of a source: an alert of its own each time, so that every one goes all the way.

    It fires since now. `zone` is the one in which the source writes times that name none.
    """
    now = datetime.now(zone)
    number = uuid4().int % 10**9
    text = (files(__package__) / "bodies" / f"{source}.json").read_text("utf-8")
    filled = Template(text).substitute(
        id=f"{number:x}",
        number=number,
        now=now.isoformat(timespec="seconds"),
        now_ms=int(now.timestamp() * 1000),
        date=f"{now:%Y.%m.%d}",
        time=f"{now:%H:%M:%S}",
    )
    return json.loads(filled)
