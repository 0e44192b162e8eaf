"""How long certificates are still valid."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel, Field, FiniteFloat, field_validator, model_validator

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import Checker, FallingConfig, NotApplicableError, conclude, state
from tasks.check.readings import address, x509

HTTPS_PORT = 443
DAY_SECONDS = 86_400


class Target(BaseModel, extra="forbid", frozen=True, defer_build=True):
    """Where a certificate is to be had: the absolute path of a file, or host:port (443 where none is given).

    `server_name` is the name to ask a server for, where that is not the host that it is reached by.
    """

    target: str = Field(max_length=255)
    server_name: str | None = Field(default=None, pattern=rf"^{address.NAME}$", max_length=253)

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_target(cls, given: Any) -> Any:
        return {"target": given} if isinstance(given, str) else given

    @field_validator("target")
    @classmethod
    def _can_be_meant(cls, target: str) -> str:
        if target.startswith("/"):
            if not target.isprintable():
                raise ValueError("a path with characters that cannot be shown")
            return target
        try:
            address.parse(target, default_port=HTTPS_PORT)
        except ValueError as error:
            raise ValueError(f"no absolute path, and {error}") from None
        return target

    @property
    def name(self) -> str:
        """What readings call it."""
        if self.target.startswith("/"):
            return self.target
        shown = address.shown(*address.parse(self.target, default_port=HTTPS_PORT))
        return f"{shown} ({self.server_name})" if self.server_name else shown


@dataclass(frozen=True)
class Certificate(Checker):
    """Days until the certificates expire that lie in files or that servers show.

    Of a file with several, such as a chain, the first to expire counts; of a server's, its own. What is
    expired or not yet valid is critical whatever the thresholds. Trust is another question: with `verify`, a
    server that clients refuse, for its chain or its name, is critical too. That is off by default, since this
    host need not know the private authority of every server; the http checker asks it of every URL.
    """

    kind: ClassVar[str] = "certificate"
    measures: ClassVar[str] = "days until certificates expire, in files or served at host:port"

    class Config(FallingConfig):
        """Thresholds are in days."""

        unit: ClassVar[str] = "days"
        most: ClassVar[float | None] = None

        targets: list[Target] = Field(default=[], max_length=50)
        verify: bool = False
        # ACME clients renew with a third of the lifetime left, 30 days of 90 or 15 of 45: at 14 that has failed.
        warning_threshold: FiniteFloat = 14.0
        critical_threshold: FiniteFloat = 7.0

    config: Config

    def measure(self) -> CheckResult:
        """Read every certificate."""
        config = self.config
        if not config.targets:
            raise NotApplicableError("no certificate is named (config key targets)")
        answers = side_by_side(
            {target.name: partial(_visit, target, config) for target in config.targets},
            timeout_seconds=0.95 * config.timeout,
        )
        now = datetime.now(UTC)
        readings = [_judged(name, answer, now, config) for name, answer in answers.items()]
        found = [_metrics(name, answer[0], now) for name, answer in answers.items() if isinstance(answer, tuple)]
        soonest = min(found, key=lambda each: each["days_left"], default={})
        metrics = {
            # No dict by name: where metrics are stored, what stands under a name such as api.example.org:443
            # is taken for a secret (storage/redaction.py).
            "certificates": found,
            "soonest_days": soonest.get("days_left"),
            "soonest_target": soonest.get("target"),
        }
        return conclude(self.kind, readings, metrics=metrics)


def _visit(target: Target, config: Certificate.Config) -> tuple[x509.Certificate, str]:
    """The certificate that counts, and why clients refuse its server."""
    if target.target.startswith("/"):
        return min(x509.in_file(target.target), key=_urgency), ""
    host, port = address.parse(target.target, default_port=HTTPS_PORT)
    server_name = target.server_name or host
    timeout_seconds = 0.45 * config.timeout  # there may be two handshakes
    certificate = x509.served(host, port, server_name=server_name, timeout_seconds=timeout_seconds)
    if not config.verify:
        return certificate, ""
    return certificate, x509.refusal(host, port, server_name=server_name, timeout_seconds=timeout_seconds)


def _urgency(certificate: x509.Certificate) -> tuple[bool, datetime]:
    """What is not valid yet comes first, then the first to expire."""
    return certificate.not_before <= datetime.now(UTC), certificate.not_after


def _judged(
    name: str, answer: tuple[x509.Certificate, str] | BaseException, now: datetime, config: Certificate.Config
) -> Reading:
    if isinstance(answer, BaseException):
        return state(CheckStatus.UNKNOWN, f"{name} cannot be read: {_reason(answer)}", target=name)
    certificate, refusal = answer
    days_left = _days_left(certificate, now)
    problem, sentence = _told(certificate, days_left, now)
    sentence = f"{name}: certificate of {certificate.subject} {sentence}"
    if not problem and not refusal:
        return config.read(days_left, sentence, target=name)
    return Reading(
        target=name,
        value=days_left,
        status=CheckStatus.CRITICAL,
        held=CheckStatus.CRITICAL,
        message=f"{sentence}; clients fail: {refusal}" if refusal else sentence,
    )


def _told(certificate: x509.Certificate, days_left: float, now: datetime) -> tuple[bool, str]:
    """Whether it is not valid at all, and in words until when it is."""
    if now < certificate.not_before:
        return True, f"is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    until = f"{certificate.not_after:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_after:
        return True, f"expired {-days_left:.1f} days ago, on {until}"
    return False, f"expires in {days_left:.1f} days, on {until}"


def _days_left(certificate: x509.Certificate, now: datetime) -> float:
    return round((certificate.not_after - now).total_seconds() / DAY_SECONDS, 2)


def _metrics(name: str, certificate: x509.Certificate, now: datetime) -> dict[str, Any]:
    return {
        "target": name,
        "days_left": _days_left(certificate, now),
        "not_after": certificate.not_after.isoformat().replace("+00:00", "Z"),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
    }


def _reason(error: BaseException) -> str:
    if isinstance(error, HungError):
        return "no answer in time"
    return str(error) if isinstance(error, x509.UnreadableError) else type(error).__name__
