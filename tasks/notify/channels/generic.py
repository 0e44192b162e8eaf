import json
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from storage.records import Receipt
from storage.tables.base import utc_now
from tasks.addresses import Reach, literal, refusal
from tasks.errors import PermanentError
from tasks.http import OutboundRequest, judge, parse_url, send
from tasks.notify import templates
from tasks.notify.channels.base import DriverConfig
from tasks.notify.channels.signing import SIGNATURE_HEADERS, SigningSecret, signed
from tasks.notify.message import Notification
from tasks.notify.reach import allowed_reach

# The answer to a key whose first request is still being worked on: one that we gave up waiting for.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
STILL_BEING_WORKED_ON = 409
# Set by the body that is sent, or by us; another value would break the request or its promise.
OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "idempotency-key"})


def _check_url(url: SecretStr) -> SecretStr:
    try:
        host = parse_url(url.get_secret_value()).raw_host.decode("ascii")
    except PermanentError as error:
        raise ValueError(str(error)) from None
    spelled = literal(host)
    if spelled and (refused := refusal(spelled, Reach.GUARDED)):
        raise ValueError(f"is {refused}")
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

    The body is JSON with the fields of the Notification: reason, title, message, severity, channel, thread, tags,
    context and idempotency_key; or it is what `payload_template` makes, a JSON string as plain text. A GET has no
    body, so it carries reason, title, severity, channel and idempotency_key as query parameters.
    `Idempotency-Key` is the same for every try of one message. With a `secret` every try is signed.
    """

    kind: ClassVar[str] = "generic"
    rate_per_minute: ClassVar[float] = 0

    class Config(DriverConfig):
        """Exactly one of `endpoint` and `webhook_url` is given.

        `timeout` is in seconds. `template` makes the field `message`.
        """

        endpoint: Url | None = None
        webhook_url: Url | None = None
        method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
        headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
        timeout: float = Field(default=30, gt=0, le=300)
        disabled: bool = False
        secret: SigningSecret | None = None
        template: templates.TemplateRef | None = None
        payload_template: templates.TemplateRef | None = None

        @model_validator(mode="after")
        def _has_one_url(self) -> Self:
            if (self.endpoint is None) == (self.webhook_url is None):
                raise ValueError("exactly one of endpoint and webhook_url is needed")
            return self

        @model_validator(mode="after")
        def _leaves_signature_to_us(self) -> Self:
            taken = [name for name in self.headers if name.lower() in SIGNATURE_HEADERS]
            if self.secret and taken:
                raise ValueError(f"headers.{taken[0]}: is set by Watchkeeper, since there is a secret")
            return self

        @model_validator(mode="after")
        def _has_body_for_template(self) -> Self:
            for name in ("template", "payload_template"):
                if self.method == "GET" and getattr(self, name) is not None:
                    raise ValueError(f"{name}: a GET has no body")
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
            return Receipt(detail="not sent: the channel is disabled")
        request = self.build_request(notification)
        if self.config.secret:
            request = signed(
                request,
                secret=self.config.secret,
                message_id=notification.idempotency_key,
                sent_at=utc_now(),
            )
        response = send(request, reach=allowed_reach())
        judge(response, also_transient={STILL_BEING_WORKED_ON})
        return Receipt(detail=f"{response.host} answered {response.status}")

    def build_request(self, notification: Notification) -> OutboundRequest:
        """The request for a message, not yet signed."""
        url, content_type, body = self.config.url, "application/json", b""
        if self.config.method == "GET":
            url = _with_query(url, notification)
        else:
            content_type, body = self._body(notification)
        own = {name.lower(): value.get_secret_value() for name, value in self.config.headers.items()}
        return OutboundRequest(
            method=self.config.method,
            url=url,
            headers={"content-type": content_type} | own | {"idempotency-key": notification.idempotency_key},
            body=body,
            timeout_seconds=self.config.timeout,
        )

    def _body(self, notification: Notification) -> tuple[str, bytes]:
        """Content type and body."""
        said = templates.body_of(
            self.kind,
            payload_template=self.config.payload_template,
            template=self.config.template,
            notification=notification,
        )
        if isinstance(said.payload, str):
            return "text/plain; charset=utf-8", said.payload.encode(errors="replace")
        fields = notification.model_dump(mode="json") | {"message": said.text}
        return "application/json", json.dumps(fields if said.payload is None else said.payload).encode()


def _with_query(url: str, notification: Notification) -> str:
    short = notification.model_dump(
        mode="json", include={"reason", "title", "severity", "channel", "idempotency_key"}
    )
    address, _, fragment = url.partition("#")
    del fragment  # never sent
    return address + ("&" if "?" in address else "?") + urlencode(short)
