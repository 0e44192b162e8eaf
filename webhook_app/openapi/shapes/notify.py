"""Messages, channels and providers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from storage.channel_standing import Standing
from storage.records import ChannelPolicy, Recommendation
from storage.vocabulary import NotificationStatus, RunStatus
from tasks.analyze.offers import Offer
from tasks.notify.driver_keys import DriverKey
from webhook_app.openapi.shapes.base import Page, Shape
from webhook_app.openapi.shapes.runs import NotificationShape


class NotificationRun(Shape):
    """A run that had a message in hand."""

    run_id: str
    pipeline: str
    status: RunStatus
    url: str


class NotificationDetails(NotificationShape):
    """A message with what was said, its runs, and what happens next."""

    message: str
    idempotency_key: str
    updated_at: datetime
    tries: int
    stand_ins: list[NotificationShape]
    runs: list[NotificationRun]
    next: str
    allowed: list[str]


class Notifications(Page):
    """A page of messages, and how many of all are not sent."""

    counts: dict[NotificationStatus, int]
    notifications: list[NotificationShape]


class ProviderSaved(Shape):
    """A saved provider, without its secrets."""

    name: str
    provider: str
    is_active: bool
    config: dict[str, Any]
    description: str
    created_at: datetime
    updated_at: datetime


class Providers(Shape):
    """The kinds of providers, and the saved ones."""

    providers: list[Offer]
    saved: list[ProviderSaved]


class AnalysisHealth(Shape):
    """Who would be asked, whether that can work, what it has cost today, and how it went last."""

    status: Literal["ok", "degraded"]
    problems: list[str]
    provider: dict[str, str]
    is_extra_installed: bool
    fallback_enabled: bool
    budget: dict[str, int | None]
    last_success: dict[str, Any] | None
    last_failure: dict[str, Any] | None


class Advice(BaseModel, extra="allow"):
    """An answer, and how it came about."""

    summary: str
    probable_cause: str
    confidence: float | None
    recommendations: list[Recommendation]
    count: int
    incident_id: int | None
    provider: str
    fallback_used: bool


class SendForm(Shape):
    """What came of a message: `message_id` where it went out, else `error`."""

    success: bool
    message_id: str | None
    error: str
    metadata: dict[str, Any]


class BatchForm(Shape):
    """What came of several messages, in their order."""

    success: bool
    total: int
    sent: int
    failed: int
    results: list[SendForm]


class DriverShape(Shape):
    """A driver, and the keys of its config."""

    driver: str
    description: str
    notes: str
    rate_per_minute: float | None
    config: list[DriverKey]


class Drivers(Shape):
    """All drivers."""

    count: int
    drivers: list[DriverShape]


class ChannelShape(Shape):
    """A saved channel without its secrets, and how it fares."""

    name: str
    driver: str
    is_active: bool
    description: str
    config: dict[str, Any]
    policy: ChannelPolicy
    standing: Standing
    created_at: datetime
    updated_at: datetime
    url: str


class Channels(Shape):
    """All channels."""

    count: int
    channels: list[ChannelShape]


class Removed(Shape):
    """What was removed."""

    name: str
