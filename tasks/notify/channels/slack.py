import json
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from storage.records import Receipt
from tasks.errors import PermanentError
from tasks.http import OutboundRequest, OutboundResponse, judge, parse_url, send
from tasks.notify.channels.base import DriverConfig
from tasks.notify.channels.slack_blocks import build_payload
from tasks.notify.message import Notification
from tasks.notify.templates import TemplateRef, body_of

# The second is GovSlack's: https://api.slack-gov.com/gov-slack/about
WEBHOOK_PREFIXES = ("https://hooks.slack.com/", "https://hooks.slack-gov.com/")
# The only words of an answer that are repeated; any other text may be anybody's, such as a proxy's.
ERROR_WORDS = frozenset(
    {
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_payload",
        "invalid_token",
        "missing_text_or_fallback_or_attachments",
        "no_active_hooks",
        "no_service",
        "no_service_id",
        "no_team",
        "no_text",
        "posting_to_general_channel_denied",
        "team_disabled",
        "too_many_attachments",
        "user_not_found",
    }
)


def _check_webhook_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if not text.startswith(WEBHOOK_PREFIXES):
        raise ValueError(f"does not start with {' or '.join(WEBHOOK_PREFIXES)}")
    try:
        parse_url(text)
    except PermanentError as error:
        raise ValueError(str(error)) from None
    return url


class Slack:
    """Deliver to a Slack incoming webhook.

    API and errors: https://api.slack.com/messaging/webhooks and
    https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks. Slack knows no idempotency
    key: a repeat after a lost answer is a second message.
    """

    kind: ClassVar[str] = "slack"
    # One a second: https://api.slack.com/docs/rate-limits
    rate_per_minute: ClassVar[float] = 60

    class Config(DriverConfig):
        """`timeout` is in seconds.

        `channel`, `username` and `icon_emoji` work with legacy webhooks only; those of Slack apps ignore them.
        """

        webhook_url: Annotated[SecretStr, AfterValidator(_check_webhook_url)]
        channel: str | None = Field(default=None, min_length=1, max_length=80)
        username: str | None = Field(default=None, min_length=1, max_length=80)
        icon_emoji: str | None = Field(default=None, pattern=r"^:[^:\s]+(::[^:\s]+)?:$", max_length=100)
        timeout: float = Field(default=30, gt=0, le=300)
        template: TemplateRef | None = None
        payload_template: TemplateRef | None = None

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the message."""
        response = send(self.build_request(notification))
        _judge(response)
        # The status stands, but whoever looks for a lost message should see that it was not Slack's own word.
        odd = "" if response.body.strip() == "ok" else ", but not ok"
        return Receipt(detail=f"{response.host} answered {response.status}{odd}")

    def build_request(self, notification: Notification) -> OutboundRequest:
        """The request for a message; a payload by template is sent just as it is."""
        body = body_of(
            self.kind,
            payload_template=self.config.payload_template,
            template=self.config.template,
            notification=notification,
        )
        own = self.config.model_dump(include={"channel", "username", "icon_emoji"}, exclude_none=True)
        payload = own | build_payload(notification, body.text) if body.payload is None else body.payload
        return OutboundRequest(
            method="POST",
            url=self.config.webhook_url.get_secret_value(),
            headers={"content-type": "application/json"},
            body=json.dumps(payload).encode(),
            timeout_seconds=self.config.timeout,
        )


def _judge(response: OutboundResponse) -> None:
    try:
        judge(response)
    except PermanentError as error:
        word = response.body.strip()
        raise PermanentError(f"{error}: {word}" if word in ERROR_WORDS else str(error)) from None
