import base64
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from tasks.http import OutboundRequest
from tasks.notify.channels.signing import SigningSecret, signed

# The libraries of the specification are tested with it:
# https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/javascript/src/webhook.test.ts
PUBLISHED = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "sent_at": datetime.fromtimestamp(1614265330, UTC),
    "body": b'{"test": 2432232314}',
    "signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


class Config(BaseModel, hide_input_in_errors=True):
    secret: SigningSecret


def headers(**changes) -> dict[str, str]:
    given = PUBLISHED | changes
    request = OutboundRequest("POST", "http://a.example/", headers={"x-team": "ops"}, body=given["body"])
    return dict(
        signed(
            request,
            secret=SecretStr(given["secret"]),
            message_id=given["message_id"],
            sent_at=given["sent_at"],
        ).headers
    )


def test_the_published_example_is_signed_as_published():
    assert headers() == {
        "x-team": "ops",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": PUBLISHED["signature"],
    }


def test_a_secret_without_its_mark_is_the_same_secret():
    assert headers(secret="MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == headers()


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"test": 2432232315}'},
        {"message_id": "msg_other"},
        {"sent_at": datetime.fromtimestamp(1614265331, UTC)},
        {"secret": "whsec_" + base64.b64encode(b"k" * 24).decode()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_signature_covers_everything(change):
    assert headers(**change)["webhook-signature"] != PUBLISHED["signature"]


def test_an_id_cannot_run_into_the_timestamp():
    assert headers(message_id="a.1614265330")["webhook-id"] == "a_1614265330"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("hunter2", "must be base64, as in whsec_…"),
        ("whsec_hunter2!", "must be base64"),
        ("whsec_grün", "must be base64"),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must be base64"),
        ("", "must hold 24 to 64 bytes"),
        ("whsec_" + base64.b64encode(b"hunter2" * 3).decode(), "must hold 24 to 64 bytes"),
        ("whsec_" + base64.b64encode(b"hunter2" * 10).decode(), "must hold 24 to 64 bytes"),
    ],
    ids=["no base64", "other characters", "no ascii", "a signing key", "empty", "too short", "too long"],
)
def test_a_secret_that_is_none_is_refused_without_being_quoted(secret, said):
    with pytest.raises(ValidationError, match=said) as caught:
        Config(secret=secret)

    assert not secret or secret not in str(caught.value)
