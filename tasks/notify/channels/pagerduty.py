import json
import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from storage.records import Receipt
from storage.redaction import redact_text
from storage.vocabulary import ALARMS, LIVE_INCIDENT, IncidentStatus, NotificationReason
from tasks.errors import PermanentError
from tasks.http import OutboundRequest, OutboundResponse, judge, parse_url, send
from tasks.notify.channels.base import DriverConfig
from tasks.notify.message import Notification
from tasks.notify.reach import allowed_reach
from tasks.notify.templates import TemplateRef, text_of
from tasks.notify.text import one_line, shorten
from tasks.notify.web_links import web_links

ENQUEUE_PATH = "/v2/enqueue"
# The API, and its limits in characters: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
MAX_SUMMARY_CHARS = 1_024
MAX_DEDUP_KEY_CHARS = 255
# Of a whole event, which may have 512 KB: https://developer.pagerduty.com/docs/events-api-v2/overview/
MAX_EVENT_BYTES = 500_000
# PagerDuty names no limits for these; they are ours.
MAX_NAME_CHARS = 255
MAX_TEXT_CHARS = 16_000
MAX_LINKS = 20
MAX_ERRORS = 3
MAX_ERROR_CHARS = 300

Action = Literal["trigger", "acknowledge", "resolve"]
ACTIONS: dict[NotificationReason, Action] = {
    **dict.fromkeys(ALARMS, "trigger"),
    NotificationReason.ACKNOWLEDGED: "acknowledge",
    NotificationReason.RESOLVED: "resolve",
}
SEVERITIES = {"critical": "critical", "warning": "warning", "info": "info", "success": "info"}
OVER = frozenset(IncidentStatus) - frozenset(LIVE_INCIDENT)
# Labels that say which part of a host is meant, the most telling first.
COMPONENT_LABELS = ("component", "service", "mountpoint", "device", "job")
# What goes into the details while there is room, the most useful first.
DETAIL_PARTS = ("analysis", "incident", "alerts", "checks")


def _check_url(url: str) -> str:
    try:
        parsed = parse_url(url)
    except PermanentError as error:
        raise ValueError(str(error)) from None
    if parsed.userinfo:
        raise ValueError("a URL with a login, which anybody could see")
    return url


def _check_endpoint(url: str) -> str:
    if "?" in _check_url(url) or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
    return url.rstrip("/").removesuffix(ENQUEUE_PATH)


class PagerDuty:
    """Open, acknowledge and resolve PagerDuty's alerts by its Events API v2.

    All events about one episode of an incident have its thread as their dedup_key, so the end of it closes what
    its beginning opened, and a repeat opens nothing new.
    """

    kind: ClassVar[str] = "pagerduty"
    # Per integration key, by PagerDuty's own people; its documentation only says that there is a limit:
    # https://community.pagerduty.com/forum/t/monitoring-api-rate-limiting/3318
    rate_per_minute: ClassVar[float] = 120

    class Config(DriverConfig):
        """The EU's `endpoint` is https://events.eu.pagerduty.com. `timeout` is in seconds.

        `event_action` and `dedup_key` are for messages about no incident.
        """

        integration_key: Annotated[SecretStr, Field(min_length=20)]
        event_action: Action = "trigger"
        dedup_key: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DEDUP_KEY_CHARS)] | None = None
        client: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
        client_url: Annotated[str, AfterValidator(_check_url)] | None = None
        endpoint: Annotated[str, AfterValidator(_check_endpoint)] = "https://events.pagerduty.com"
        timeout: float = Field(default=30, gt=0, le=300)
        template: TemplateRef | None = None

        @model_validator(mode="after")
        def _names_what_it_ends(self) -> Self:
            if self.event_action != "trigger" and self.dedup_key is None:
                raise ValueError(f"event_action {self.event_action} needs a dedup_key")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the event that the message's reason calls for; nobody is paged for what is over already."""
        if notification.reason in ALARMS and str(_section(notification, "incident").get("status")) in OVER:
            return Receipt(detail="not sent: the incident is over")
        return self._send(self.build_event(notification))

    def build_event(self, notification: Notification) -> dict[str, Any]:
        """The event for a message. Only a trigger says more than what it is about."""
        is_about_incident = notification.reason is not NotificationReason.MESSAGE
        action = ACTIONS[notification.reason] if is_about_incident else self.config.event_action
        key = notification.thread if is_about_incident else self.config.dedup_key
        event: dict[str, Any] = {
            "routing_key": self.config.integration_key.get_secret_value(),
            "event_action": action,
            "dedup_key": key or notification.idempotency_key,
        }
        if action == "trigger":
            event |= self.config.model_dump(include={"client", "client_url"}, exclude_none=True)
            event["payload"] = _payload(notification)
            event["links"] = [
                {"href": url, "text": shorten(label, MAX_NAME_CHARS)}
                for label, url in list(web_links(notification).items())[:MAX_LINKS]
            ]
            text = shorten(text_of(self.kind, self.config.template, notification), MAX_TEXT_CHARS)
            _add_details(event, {"message": text}, notification)
        return event

    def build_request(self, event: dict[str, Any]) -> OutboundRequest:
        """The request for an event."""
        return OutboundRequest(
            method="POST",
            url=self.config.endpoint + ENQUEUE_PATH,
            headers={"content-type": "application/json"},
            body=_as_json(event),
            timeout_seconds=self.config.timeout,
        )

    def _send(self, event: dict[str, Any]) -> Receipt:
        response = send(self.build_request(event), reach=allowed_reach())
        try:
            judge(response)
        except PermanentError as error:
            said = self._said(response)
            raise PermanentError(f"{error}: {said}" if said else str(error)) from None
        detail = f"{response.host} answered {response.status} to {event['event_action']}"
        return Receipt(provider_id=event["dedup_key"], detail=detail)

    def _said(self, response: OutboundResponse) -> str:
        """PagerDuty's own reasons for a refusal, without the key, which they may quote."""
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError):
            return ""
        errors = answer.get("errors") if isinstance(answer, dict) else None
        texts = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
        said = one_line("; ".join(texts[:MAX_ERRORS]))
        key = re.escape(self.config.integration_key.get_secret_value())
        return shorten(redact_text(re.sub(key, "***", said, flags=re.IGNORECASE)), MAX_ERROR_CHARS)


def _payload(notification: Notification) -> dict[str, Any]:
    tags = notification.tags
    names = {
        "source": tags.get("host", "") or "watchkeeper",
        "component": tags.get("component", "") or _component(notification),
        "group": tags.get("group", "") or tags.get("environment", ""),
        "class": tags.get("class", "") or tags.get("alert", ""),
    }
    began = _moment(_section(notification, "incident").get("started_at"))
    return {
        "summary": shorten(notification.title or "Watchkeeper", MAX_SUMMARY_CHARS),
        "severity": SEVERITIES[notification.severity],
        **{field: shorten(one_line(name), MAX_NAME_CHARS) for field, name in names.items() if one_line(name)},
        **({"timestamp": began.isoformat()} if began else {}),
    }


def _component(notification: Notification) -> str:
    """The part of the host that the alert named in the title is about, as far as its labels tell."""
    alerts = notification.context.get("alerts")
    for alert in alerts if isinstance(alerts, list) else []:
        if isinstance(alert, dict) and alert.get("name") == notification.tags.get("alert"):
            labels = alert.get("labels")
            known = labels if isinstance(labels, dict) else {}
            return next((str(known[name]) for name in COMPONENT_LABELS if known.get(name)), "")
    return ""


def _add_details(event: dict[str, Any], details: dict[str, Any], notification: Notification) -> None:
    """Put the details into the event, as much of them as its size allows, and name what is left out."""
    context = notification.model_dump(mode="json")["context"]
    tags = {one_line(name): shorten(one_line(value), MAX_NAME_CHARS) for name, value in notification.tags.items()}
    parts = {
        "reason": notification.reason.value,
        "trace_id": context.get("trace_id"),
        "run_id": context.get("run_id"),
        "tags": tags,
        **{name: context.get(name) for name in DETAIL_PARTS},
    }
    event["payload"]["custom_details"] = details
    room = MAX_EVENT_BYTES - len(_as_json(event)) - sum(len(name) + 8 for name in parts) - len('"left_out": []')
    left_out = []
    for name, part in parts.items():
        if not part:
            continue
        if (size := len(_as_json(part))) <= room:
            details[name] = part
            room -= size
        else:
            left_out.append(name)
    if left_out:
        details["left_out"] = left_out


def _as_json(value: Any) -> bytes:
    # Not escaped to ASCII, which makes twelve bytes of an emoji. Half of a surrogate pair has no UTF-8.
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _section(notification: Notification, name: str) -> dict[str, Any]:
    part = notification.context.get(name)
    return part if isinstance(part, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
