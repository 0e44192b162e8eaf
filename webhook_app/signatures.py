"""Whether a webhook was signed with a secret that we share. Pure: bytes come in, a fact comes out.

Every scheme is an HMAC-SHA256 over the body as it was received, compared in constant time, and any of the live
keys may have made it, so that a secret can be changed without a gap. Hex digits may be of either case.

Grafana: https://grafana.com/docs/grafana/latest/alerting/contact-points/notifiers/webhook-notifier
PagerDuty: https://github.com/PagerDuty/developer-docs/blob/main/docs/webhooks/04-Signatures.md
Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
import hmac
import re
from collections.abc import Sequence

PAGERDUTY_VERSION = b"v1="
STANDARD_VERSION = b"v1,"
STANDARD_PREFIX = b"whsec_"
HEX_PREFIX = b"sha256="
UNIX_TIME = re.compile(rb"[0-9]{1,12}")


def is_hex_signed(keys: Sequence[bytes], body: bytes, signature: bytes) -> bool:
    """Whether the header is the HMAC in hex, with or without `sha256=` before it."""
    return _is_any([_hex(key, body) for key in keys], [signature.removeprefix(HEX_PREFIX)])


def is_grafana_signed(keys: Sequence[bytes], body: bytes, signature: bytes, *, timestamp: bytes | None) -> bool:
    """Whether Grafana signed the body: bare hex, over `timestamp:body` where it is set to send a time.

    A timestamp of None means that Grafana is not set so; an empty one that it is missing.
    """
    if timestamp is None:
        content = body
    elif timestamp:
        content = timestamp + b":" + body
    else:
        return False
    return _is_any([_hex(key, content) for key in keys], [signature])


def is_pagerduty_signed(keys: Sequence[bytes], body: bytes, signatures: bytes) -> bool:
    """Whether one of `v1=<hex>,v1=<hex>` is right. Other versions are not defined and count for nothing."""
    given = [signature.strip() for signature in signatures.split(b",")]
    hexes = [one.removeprefix(PAGERDUTY_VERSION) for one in given if one.startswith(PAGERDUTY_VERSION)]
    return _is_any([_hex(key, body) for key in keys], hexes)


def is_standard_signed(
    keys: Sequence[bytes], body: bytes, signatures: bytes, *, message_id: bytes, timestamp: bytes
) -> bool:
    """Whether one of `v1,<base64> v1,<base64>` is right, over `id.timestamp.body`."""
    if not message_id or not timestamp:
        return False
    content = b".".join((message_id, timestamp, body))
    expected = [binascii.b2a_base64(_digest(key, content), newline=False) for key in keys]
    given = [one.removeprefix(STANDARD_VERSION) for one in signatures.split() if one.startswith(STANDARD_VERSION)]
    return _are_any_equal(expected, given)


def is_fresh(timestamp: bytes, *, now: float, tolerance_seconds: float) -> bool:
    """Whether a signed unix time is near enough to ours, on either side, to be no replay."""
    return UNIX_TIME.fullmatch(timestamp) is not None and abs(now - int(timestamp)) <= tolerance_seconds


def standard_keys(secret: bytes) -> list[bytes]:
    """The HMAC keys that a Standard Webhooks secret may stand for.

    After `whsec_` comes the key in base64; ValueError if it does not. Without the prefix some senders use the
    text as it is and others decode it all the same, so both readings count.
    """
    encoded = secret.removeprefix(STANDARD_PREFIX)
    try:
        key = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        key = b""
    if encoded != secret and not key:
        raise ValueError("what follows whsec_ must be base64")
    return [key] if encoded != secret else [secret, key] if key else [secret]


def _is_any(expected: list[bytes], given: list[bytes]) -> bool:
    return _are_any_equal(expected, [signature.lower() for signature in given])


def _are_any_equal(expected: list[bytes], given: list[bytes]) -> bool:
    # All pairs are compared, so that the time taken does not tell which of them is right.
    return True in [hmac.compare_digest(one, other) for one in expected for other in given]


def _hex(key: bytes, content: bytes) -> bytes:
    return binascii.hexlify(_digest(key, content))


def _digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")
