"""What every channel driver is."""

from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from storage.records import Receipt
from tasks.notify.message import Notification


class DriverConfig(BaseModel):
    """Where every driver's Config starts: unknown keys are refused, errors do not quote what was given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Channel(Protocol):
    """One configured destination."""

    kind: ClassVar[str]
    # Messages a minute that the vendor lets in, where a channel does not say otherwise; 0 is no limit.
    rate_per_minute: ClassVar[float]

    @property
    def Config(self) -> type[DriverConfig]:  # noqa: N802  a nested class; mypy has no other word for it here
        """What a configuration of this kind must look like."""

    def __init__(self, config: Any) -> None:
        """Take a Config of the driver's own kind, with its secrets resolved."""

    def deliver(self, notification: Notification) -> Receipt:
        """Send one message; raises TransientError or PermanentError."""
