"""What a sender can prove itself with: tokens, user and password, or a signature in its vendor's scheme."""

import binascii
import hmac
from abc import abstractmethod
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretBytes, model_validator
from werkzeug.datastructures import Headers

from webhook_app import signatures

TOKEN_HEADER = "X-Webhook-Token"  # noqa: S105  (a name)
TOLERANCE_SECONDS = 300


def _secret_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be text, or a reference to a secret")  # noqa: TRY004  (pydantic reports ValueError)
    if not value or value != value.strip():
        raise ValueError("must not be empty, nor begin or end with a space or a line break")
    try:
        return value.encode()
    except UnicodeEncodeError:  # its message quotes the value
        raise ValueError("must be UTF-8 text") from None


def _user_and_password(value: SecretBytes) -> SecretBytes:
    _, colon, password = value.get_secret_value().partition(b":")
    if not colon or not password:
        raise ValueError("must be user:password")
    return value


Secret = Annotated[SecretBytes, BeforeValidator(_secret_bytes)]
UserAndPassword = Annotated[Secret, AfterValidator(_user_and_password)]
# No underscore: waitress drops such headers, since a proxy may take them for the same with a hyphen.
HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]
Tolerance = Annotated[int, Field(ge=1, le=3600)]


class Tokens(BaseModel, extra="forbid", frozen=True, hide_input_in_errors=True):
    """Tokens as Bearer, as the password of any Basic user, or in a header of their own; and Basic users."""

    tokens: tuple[Secret, ...] = ()
    basic: tuple[UserAndPassword, ...] = ()
    header: HeaderName = TOKEN_HEADER

    def admit(self, headers: Headers, body: bytes, *, now: float) -> bool:
        """Whether what was sent proves the sender; `now` is in unix seconds."""
        del body, now
        return self._has_token(headers)

    @property
    def ways(self) -> list[str]:
        """What a sender may send, in words."""
        by_token = ["Authorization: Bearer", "the token as Basic password", self.header] if self.tokens else []
        return by_token + (["Basic user and password"] if self.basic else [])

    def _has_token(self, headers: Headers) -> bool:
        user = _decoded(_authorization(headers, b"basic"))
        password = user.partition(b":")[2]
        tokens = [bearer(headers), password, sent(headers, self.header)]
        return _is_one_of(tokens, self.tokens) | _is_one_of([user], self.basic)


class Signed(Tokens):
    """Tokens, and secrets with which bodies are signed; two of them while one takes over from the other."""

    secrets: tuple[Secret, ...] = ()

    @model_validator(mode="after")
    def _has_any(self) -> "Signed":
        if not (self.tokens or self.basic or self.secrets):
            raise ValueError("needs at least one of tokens, basic and secrets")
        return self

    def admit(self, headers: Headers, body: bytes, *, now: float) -> bool:
        """See Tokens.admit."""
        return self._has_token(headers) or (bool(self.secrets) and self._is_signed(headers, body, now))

    @property
    def ways(self) -> list[str]:
        """See Tokens.ways."""
        return super().ways + ([self._signature] if self.secrets else [])

    @property
    def _keys(self) -> list[bytes]:
        return [secret.get_secret_value() for secret in self.secrets]

    @property
    @abstractmethod
    def _signature(self) -> str:
        """The signature in words."""

    @abstractmethod
    def _is_signed(self, headers: Headers, body: bytes, now: float) -> bool:
        """Whether the body is signed with one of the secrets, and not too long ago."""


class GrafanaCredentials(Signed):
    """`timestamp_header` is the one that the contact point names; with it, an unsigned time is refused."""

    signature_header: HeaderName = "X-Grafana-Alerting-Signature"
    timestamp_header: HeaderName | None = None
    tolerance_seconds: Tolerance = TOLERANCE_SECONDS

    @property
    def _signature(self) -> str:
        window = f" with {self.timestamp_header} (±{self.tolerance_seconds} s)" if self.timestamp_header else ""
        return f"{self.signature_header}{window}"

    def _is_signed(self, headers: Headers, body: bytes, now: float) -> bool:
        timestamp = sent(headers, self.timestamp_header) if self.timestamp_header else None
        is_signed = signatures.is_grafana_signed(
            self._keys, body, sent(headers, self.signature_header), timestamp=timestamp
        )
        return is_signed and (
            timestamp is None or signatures.is_fresh(timestamp, now=now, tolerance_seconds=self.tolerance_seconds)
        )


class PagerDutyCredentials(Signed):
    """PagerDuty signs no time; its repeats are known by X-Webhook-Id."""

    @property
    def _signature(self) -> str:
        return "X-PagerDuty-Signature (v1)"

    def _is_signed(self, headers: Headers, body: bytes, now: float) -> bool:
        del now
        return signatures.is_pagerduty_signed(self._keys, body, sent(headers, "X-PagerDuty-Signature"))


class StandardCredentials(Signed):
    """Standard Webhooks; or, where `signature_header` names one, the plain HMAC of the body in hex."""

    signature_header: HeaderName | None = None
    tolerance_seconds: Tolerance = TOLERANCE_SECONDS

    @model_validator(mode="after")
    def _has_keys(self) -> "StandardCredentials":
        if self.signature_header is None:
            self._standard_keys()
        return self

    @property
    def _signature(self) -> str:
        if self.signature_header:
            return self.signature_header
        return f"webhook-id, webhook-timestamp (±{self.tolerance_seconds} s) and webhook-signature (v1)"

    def _is_signed(self, headers: Headers, body: bytes, now: float) -> bool:
        if self.signature_header:
            return signatures.is_hex_signed(self._keys, body, sent(headers, self.signature_header))
        timestamp = sent(headers, "webhook-timestamp")
        return signatures.is_standard_signed(
            self._standard_keys(),
            body,
            sent(headers, "webhook-signature"),
            message_id=sent(headers, "webhook-id"),
            timestamp=timestamp,
        ) and signatures.is_fresh(timestamp, now=now, tolerance_seconds=self.tolerance_seconds)

    def _standard_keys(self) -> list[bytes]:
        return [key for secret in self._keys for key in signatures.standard_keys(secret)]


def sent(headers: Headers, name: str) -> bytes:
    """A header's bytes as they came, without the space around them; empty where it is missing.

    A header that came twice is one with a comma (waitress joins them), which no token or digest matches.
    """
    return headers.get(name, "").encode("latin-1", "backslashreplace").strip()


def bearer(headers: Headers) -> bytes:
    """The token of `Authorization: Bearer`; empty where there is none."""
    return _authorization(headers, b"bearer")


def _authorization(headers: Headers, scheme: bytes) -> bytes:
    given_scheme, _, given = sent(headers, "Authorization").partition(b" ")
    return given.strip() if given_scheme.lower() == scheme else b""


def _decoded(given: bytes) -> bytes:
    try:
        return binascii.a2b_base64(given, strict_mode=True)
    except binascii.Error:
        return b""


def _is_one_of(given: list[bytes], known: tuple[SecretBytes, ...]) -> bool:
    # All are compared, so that the time taken does not tell which of them is right.
    return True in [hmac.compare_digest(one, secret.get_secret_value()) for one in given for secret in known]
