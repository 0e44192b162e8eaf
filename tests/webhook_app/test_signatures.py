"""Signatures over the exact bytes: whose are right, and what does not pass for one."""

import base64
import hmac

import pytest

from webhook_app.signatures import (
    is_fresh,
    is_grafana_signed,
    is_hex_signed,
    is_pagerduty_signed,
    is_standard_signed,
    standard_keys,
)

BODY = b'{"name": "disk full"}\n'
OLD, NEW = b"old-secret", b"new-secret"
NOW = 1_790_000_000


def hex_of(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, "sha256").hexdigest().encode()


def standard_of(key: bytes, content: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(key, content, "sha256"))


def standard(signatures: bytes, *, message_id: bytes = b"msg_1", timestamp: bytes = b"1790000000") -> bool:
    return is_standard_signed([OLD, NEW], BODY, signatures, message_id=message_id, timestamp=timestamp)


@pytest.mark.parametrize("key", [OLD, NEW])
def test_any_live_secret_may_have_signed(key: bytes) -> None:
    signature = hex_of(key, BODY)

    assert is_hex_signed([OLD, NEW], BODY, signature)
    assert is_grafana_signed([OLD, NEW], BODY, signature, timestamp=None)
    assert is_pagerduty_signed([OLD, NEW], BODY, b"v1=" + signature)
    assert standard(standard_of(key, b"msg_1.1790000000." + BODY))


def test_one_of_several_right_signatures_is_enough() -> None:
    wrong, right = hex_of(b"another", BODY), hex_of(NEW, BODY)

    assert is_pagerduty_signed([NEW], BODY, b"v1=" + wrong + b", v1=" + right)
    assert standard(b"v1,AAAA " + standard_of(NEW, b"msg_1.1790000000." + BODY))


@pytest.mark.parametrize(
    "body", [BODY[:-1], BODY + b" ", BODY.replace(b"full", b"fuLl"), b"\xef\xbb\xbf" + BODY, b""]
)
def test_every_byte_of_the_body_counts(body: bytes) -> None:
    signature = hex_of(NEW, BODY)

    assert not is_hex_signed([NEW], body, signature)
    assert not is_grafana_signed([NEW], body, signature, timestamp=None)
    assert not is_pagerduty_signed([NEW], body, b"v1=" + signature)


@pytest.mark.parametrize(
    "given",
    [b"", b" ", b"v1=", b"sha256=", b"v1=,v1=", b",", b"\xff\xfe", "ünï".encode(), b"0" * 64, b"v1=" + b"0" * 64],
)
def test_a_header_that_is_no_signature_is_only_wrong(given: bytes) -> None:
    assert not is_hex_signed([NEW], BODY, given)
    assert not is_grafana_signed([NEW], BODY, given, timestamp=None)
    assert not is_pagerduty_signed([NEW], BODY, given)
    assert not standard(given)


def test_without_any_secret_nothing_is_signed() -> None:
    signature = hex_of(b"", BODY)

    assert not is_hex_signed([], BODY, signature)
    assert not is_pagerduty_signed([], BODY, b"v1=" + signature)


def test_hex_may_be_of_either_case_and_nothing_but_hex() -> None:
    signature = hex_of(NEW, BODY)

    assert is_pagerduty_signed([NEW], BODY, b"v1=" + signature.upper())
    assert is_grafana_signed([NEW], BODY, signature.upper(), timestamp=None)
    assert not is_pagerduty_signed([NEW], BODY, b"V1=" + signature)
    assert not is_grafana_signed([NEW], BODY, b"0x" + signature, timestamp=None)
    assert not is_grafana_signed([NEW], BODY, signature[:32] + b" " + signature[32:], timestamp=None)


@pytest.mark.parametrize("version", [b"v2=", b"v1a=", b"", b"v1:", b"sha256="])
def test_pagerduty_knows_version_one_only(version: bytes) -> None:
    assert not is_pagerduty_signed([NEW], BODY, version + hex_of(NEW, BODY))


def test_plain_hmac_may_name_its_hash() -> None:
    assert is_hex_signed([NEW], BODY, b"sha256=" + hex_of(NEW, BODY))
    assert not is_hex_signed([NEW], BODY, b"sha1=" + hex_of(NEW, BODY))


def test_grafana_signs_the_time_with_the_body_and_then_the_body_alone_does_not_do() -> None:
    with_time, without = hex_of(NEW, b"1790000000:" + BODY), hex_of(NEW, BODY)

    assert is_grafana_signed([NEW], BODY, with_time, timestamp=b"1790000000")
    assert not is_grafana_signed([NEW], BODY, with_time, timestamp=b"1790000001")
    assert not is_grafana_signed([NEW], BODY, without, timestamp=b"1790000000")
    assert not is_grafana_signed([NEW], BODY, without, timestamp=b"")
    assert not is_grafana_signed([NEW], BODY, hex_of(NEW, b":" + BODY), timestamp=b"")
    assert not is_grafana_signed([NEW], BODY, with_time, timestamp=None)


def test_standard_webhooks_signs_id_and_time_with_the_body() -> None:
    signature = standard_of(NEW, b"msg_1.1790000000." + BODY)

    assert standard(signature)
    assert not standard(signature, message_id=b"msg_2")
    assert not standard(signature, timestamp=b"1790000001")
    assert not standard(standard_of(NEW, b".1790000000." + BODY), message_id=b"")
    assert not standard(standard_of(NEW, b"msg_1.." + BODY), timestamp=b"")
    assert not standard(signature.replace(b"v1,", b"v1a,"))


def test_standard_webhooks_agrees_with_the_known_example() -> None:
    [key] = standard_keys(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert is_standard_signed(
        [key],
        b'{"test": 2432232314}',
        b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        message_id=b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=b"1614265330",
    )


def test_a_secret_without_the_prefix_may_be_meant_either_way() -> None:
    assert standard_keys(b"whsec_c2VjcmV0") == [b"secret"]
    assert standard_keys(b"c2VjcmV0") == [b"c2VjcmV0", b"secret"]
    assert standard_keys(b"plain secret") == [b"plain secret"]


@pytest.mark.parametrize("secret", [b"whsec_", b"whsec_!", b"whsec_c2VjcmV"])
def test_a_prefixed_secret_that_is_no_key_is_refused_and_not_repeated(secret: bytes) -> None:
    with pytest.raises(ValueError, match="base64") as refused:
        standard_keys(secret)

    assert secret.decode() not in str(refused.value)[len("what follows whsec_") :]


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (b"1790000000", True),
        (b"1789999700", True),
        (b"1790000300", True),
        (b"1789999699", False),
        (b"1790000301", False),
        (b"", False),
        (b"-1790000000", False),
        (b"+1790000000", False),
        (b"1790000000.0", False),
        (b"1_790_000_000", False),
        (b" 1790000000", False),
        (b"1790000000\n", False),
        (b"1790000000, 1790000000", False),
        (b"0x6AB13B80", False),
        (b"nan", False),
        ("\uff11\uff17".encode(), False),
        (b"9" * 5000, False),
    ],
)
def test_a_time_is_fresh_within_the_tolerance_on_either_side(timestamp: bytes, expected: bool) -> None:
    assert is_fresh(timestamp, now=NOW, tolerance_seconds=300) is expected
