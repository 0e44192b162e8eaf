import json
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from storage.records import Receipt
from tasks.errors import PermanentError
from tasks.http import OutboundRequest, judge, parse_url, send
from tasks.notify.channels.base import DriverConfig
from tasks.notify.message import Notification

# Set by the body that is sent, or by us; another value would break the request or its promise.
OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "idempotency-key"})


def _check_url(url: SecretStr) -> SecretStr:
    try:
        parse_url(url.get_secret_value())
    except PermanentError as error:
        raise ValueError(str(error)) from None
    return url


def _check_header_name(name: str) -> str:
    if name.lower() in OWN_HEADERS:
        raise ValueError("is set by Watchkeeper")
    return name


def _check_header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable():
        raise ValueError("holds characters that no header may hold")
    return value


Url = Annotated[SecretStr, AfterValidator(_check_url)]
HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), AfterValidator(_check_header_name)
]
HeaderValue = Annotated[SecretStr, AfterValidator(_check_header_value)]


class Generic:
    """Deliver to any HTTP endpoint.

    The body is JSON with the fields of the Notification: reason, title, message, severity, channel, tags,
    context and idempotency_key. A GET has no body, so it carries reason, title, severity, channel and
    idempotency_key as query parameters. `Idempotency-Key` is the same for every try of one message.
    """

    kind: ClassVar[str] = "generic"
    rate_per_minute: ClassVar[float] = 0

    class Config(DriverConfig):
        """The seeds' keys; exactly one of `endpoint` and `webhook_url` is given. `timeout` is in seconds."""

        endpoint: Url | None = None
        webhook_url: Url | None = None
        method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
        headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
        timeout: float = Field(default=30, gt=0, le=300)
        disabled: bool = False

        @model_validator(mode="after")
        def _has_one_url(self) -> Self:
            if (self.endpoint is None) == (self.webhook_url is None):
                raise ValueError("exactly one of endpoint and webhook_url is needed")
            return self

        @property
        def url(self) -> str:
            """Where messages go."""
            url = self.endpoint or self.webhook_url
            return url.get_secret_value() if url else ""

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the message, unless the channel is disabled."""
        if self.config.disabled:
            return Receipt(detail="disabled")
        response = send(self.build_request(notification))
        judge(response)
        return Receipt(detail=f"{response.host} answered {response.status}")

    def build_request(self, notification: Notification) -> OutboundRequest:
        """The request for a message."""
        is_get = self.config.method == "GET"
        own = {name.lower(): value.get_secret_value() for name, value in self.config.headers.items()}
        return OutboundRequest(
            method=self.config.method,
            url=_with_query(self.config.url, notification) if is_get else self.config.url,
            headers={"content-type": "application/json"} | own | {"idempotency-key": notification.idempotency_key},
            body=b"" if is_get else json.dumps(notification.model_dump(mode="json")).encode(),
            timeout_seconds=self.config.timeout,
        )


def _with_query(url: str, notification: Notification) -> str:
    short = notification.model_dump(
        mode="json", include={"reason", "title", "severity", "channel", "idempotency_key"}
    )
    address, _, fragment = url.partition("#")
    del fragment  # never sent
    return address + ("&" if "?" in address else "?") + urlencode(short)
