"""A saved channel and a driver as they may be shown, by the command line and the API alike."""

import inspect
from dataclasses import asdict
from typing import Any

from storage.channel_standing import Standing
from storage.records import ChannelPolicy
from storage.redaction import redact_text
from storage.tables import NotificationChannel
from tasks.notify.channels import CHANNELS
from tasks.notify.driver_keys import keys_of, shown_config


def channel_fields(row: NotificationChannel, standing: Standing) -> dict[str, Any]:
    """A channel without its secrets, and how it fares."""
    return {
        "name": row.name,
        "driver": row.driver,
        "is_active": row.is_active,
        "description": redact_text(row.description),
        "config": shown_config(row.driver, row.config),
        "policy": ChannelPolicy.model_validate(row.policy).model_dump(mode="json"),
        "standing": {**asdict(standing), "last_error": redact_text(standing.last_error)},
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def fares_line(standing: Standing) -> str:
    """How a channel fares, in a line; empty where nothing is known of that."""
    if not standing.failures:
        return "well" if standing.last_sent_at else ""
    since = f" since {standing.failing_since:%Y-%m-%d %H:%M}" if standing.failing_since else ""
    rests = f", rests until {standing.rests_until:%H:%M:%S}" if standing.rests_until else ""
    return f"failing{since} ({standing.failures} in a row{rests}): {redact_text(standing.last_error)}"


def driver_fields(kind: str) -> dict[str, Any]:
    """A driver that there is, and the keys of its config."""
    driver = CHANNELS[kind]
    description, _, notes = inspect.cleandoc(driver.__doc__ or "").partition("\n")
    return {
        "driver": kind,
        "description": description,
        "notes": " ".join(notes.split()),
        "rate_per_minute": driver.rate_per_minute,
        "config": [key.model_dump(mode="json") for key in keys_of(kind)],
    }
