"""How far this host's clock is off."""

from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, FiniteFloat

from storage.records import CheckResult, Reading
from storage.vocabulary import CheckStatus
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import Checker, NotApplicableError, RisingConfig, conclude, state
from tasks.check.readings import address, sntp


def _check_server(server: str) -> str:
    address.parse(server, default_port=sntp.PORT)
    return server


Server = Annotated[str, Field(max_length=255), AfterValidator(_check_server)]


@dataclass(frozen=True)
class ClockSkew(Checker):
    """Seconds between this host's clock and the median of some time servers.

    With three servers or more, one that is wrong does no harm; those that do not answer are left out. Without
    servers there is nothing to compare with: the kernel's own estimate is not used, since it says only that
    some program has set the clock of late, and in most containers and many virtual machines not even that.
    `offset_seconds` is what has to be added to the clock: above zero where it is behind.
    """

    kind: ClassVar[str] = "clock_skew"
    measures: ClassVar[str] = "how far the clock is off, by time servers"

    class Config(RisingConfig):
        """`servers`: NTP servers as host, host:port or [IPv6]:port. Thresholds are in seconds."""

        unit: ClassVar[str] = "s"

        servers: list[Server] = Field(default=[], max_length=20)
        # A clock that is kept is off by milliseconds. Past 0.5 s the order of events in the logs of two hosts is
        # wrong; past 5 s nobody keeps it. One-time passwords fail at 30 s, Kerberos at 300 s.
        warning_threshold: FiniteFloat = 0.5
        critical_threshold: FiniteFloat = 5.0

    config: Config

    def measure(self) -> CheckResult:
        """Ask every server."""
        config = self.config
        if not config.servers:
            raise NotApplicableError("no time server is named (config key servers)")
        timeout_seconds = 0.9 * config.timeout
        answers = side_by_side(
            {server: partial(_ask, server, timeout_seconds) for server in config.servers},
            timeout_seconds=0.95 * config.timeout,
        )
        offsets = [answer.offset_seconds for answer in answers.values() if isinstance(answer, sntp.Sample)]
        offset = round(median(offsets), 6) if offsets else None
        # No dict by name: where metrics are stored, what stands under api.example.org is taken for a secret
        # (storage/redaction.py).
        servers = [{"server": server, **_metrics(answer)} for server, answer in answers.items()]
        metrics = {"offset_seconds": offset, "servers": servers}
        return conclude(self.kind, [_judged(offset, servers, config)], metrics=metrics)


def _ask(server: str, timeout_seconds: float) -> sntp.Sample:
    host, port = address.parse(server, default_port=sntp.PORT)
    return sntp.ask(host, port, timeout_seconds=timeout_seconds)


def _judged(offset: float | None, servers: list[dict[str, Any]], config: ClockSkew.Config) -> Reading:
    if offset is None:
        said = "; ".join(f"{each['server']}: {each['error']}" for each in servers)
        return state(CheckStatus.UNKNOWN, f"No time server tells the time: {said}")
    told = [each["server"] for each in servers if "error" not in each]
    whom = told[0] if len(told) == 1 else f"the median of {len(told)} time servers"
    side = "behind" if offset > 0 else "ahead of"
    return config.read(abs(offset), f"The clock is {abs(offset):.3f} s {side} {whom}")


def _metrics(answer: sntp.Sample | BaseException) -> dict[str, Any]:
    if isinstance(answer, sntp.Sample):
        return {
            "offset_seconds": round(answer.offset_seconds, 6),
            "round_trip_ms": round(answer.round_trip_seconds * 1000, 1),
            "stratum": answer.stratum,
        }
    if isinstance(answer, HungError | TimeoutError):
        return {"error": "no answer in time"}
    if isinstance(answer, OSError):
        return {"error": answer.strerror or type(answer).__name__}
    return {"error": str(answer) if isinstance(answer, sntp.ServerError) else type(answer).__name__}
