"""Signatures of the Standard Webhooks form, by which a receiver knows that a webhook is ours and is not replayed.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from tasks.http import OutboundRequest

SECRET_PREFIX = "whsec_"  # noqa: S105  the form's mark, no secret
# "Signature scheme" in the specification.
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
SIGNATURE_HEADERS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})


def _check_secret(secret: SecretStr) -> SecretStr:
    try:
        length = len(_key(secret))
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64, as in {SECRET_PREFIX}…") from None
    if not MIN_KEY_BYTES <= length <= MAX_KEY_BYTES:
        raise ValueError(f"must hold {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_check_secret)]


def signed(request: OutboundRequest, *, secret: SecretStr, message_id: str, sent_at: datetime) -> OutboundRequest:
    """The request with its signature.

    `message_id` is the same for every try of a message, `sent_at` is this try's own.
    """
    # A dot would let one message's id and time be read as another's.
    message_id = message_id.replace(".", "_")
    timestamp = str(int(sent_at.timestamp()))
    content = b".".join([message_id.encode(), timestamp.encode(), request.body])
    signature = base64.b64encode(hmac.digest(_key(secret), content, "sha256")).decode()
    own = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
    return replace(request, headers={**request.headers, **own})


def _key(secret: SecretStr) -> bytes:
    return base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX), validate=True)
