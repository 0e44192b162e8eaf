"""Whether this host reaches others."""

import ipaddress
import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from storage.records import CheckResult
from tasks.check.calls import HungError, side_by_side
from tasks.check.checkers.base import SENTENCES_SHOWN, Checker, FallingConfig, conclude
from tasks.check.readings.ping import Answer, ask

MAX_HOSTS = 50
MAX_NAME_CHARS = 253
# Of the timeout: what is left is for saying which hosts did not answer.
ASKING_SHARE = 0.9

_CHARACTERS = re.compile(r"[0-9A-Za-z.:_%-]+", re.ASCII)
_NAME = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(?<!-)(?:\.(?!-)[0-9A-Za-z_-]{1,63}(?<!-))*\.?")
# Where a name ends in a number, the system takes it for an address: 8.8.8 would mean 8.8.0.8.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9A-Fa-f]*)\.?")


def _host(host: str) -> str:
    if not _is_address(host) and not _is_name(host):
        raise ValueError("must be a host name or an address, without port and scheme")
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return _CHARACTERS.fullmatch(host) is not None  # the zone of an IPv6 address may hold anything


def _is_name(host: str) -> bool:
    is_number = _ENDS_IN_NUMBER.fullmatch(host)
    return len(host) <= MAX_NAME_CHARS and _NAME.fullmatch(host) is not None and not is_number


@dataclass(frozen=True)
class Network(Checker):
    """The share of some hosts that answer, all asked side by side.

    `method` of a host says how it was asked (ping.py); None where it did not come to that. By TCP a refused
    connection counts as an answer. A name that cannot be resolved is a host that cannot be reached.
    """

    kind: ClassVar[str] = "network"
    measures: ClassVar[str] = "share of given hosts that answer a ping"

    class Config(FallingConfig):
        """`ping_timeout`: seconds to wait for each reply. `tcp_port` is used where no ping can be sent."""

        hosts: list[Annotated[str, AfterValidator(_host)]] = Field(
            default=["8.8.8.8", "1.1.1.1"], min_length=1, max_length=MAX_HOSTS
        )
        ping_count: int = Field(default=1, ge=1, le=100)
        ping_timeout: FiniteFloat = Field(default=2.0, gt=0)
        tcp_port: int = Field(default=443, ge=1, le=65535)
        warning_threshold: FiniteFloat = 70.0
        critical_threshold: FiniteFloat = 50.0

        @property
        def asking_seconds(self) -> float:
            """How long the hosts may take to answer."""
            return self.timeout * ASKING_SHARE

        @model_validator(mode="after")
        def _pings_fit_the_timeout(self) -> Self:
            if self.ping_count * self.ping_timeout >= self.asking_seconds:
                raise ValueError(
                    f"ping_count {self.ping_count} x ping_timeout {self.ping_timeout:g} s must take less than "
                    f"{self.asking_seconds:g} s, nine tenths of timeout {self.timeout:g} s"
                )
            return self

    config: Config

    def measure(self) -> CheckResult:
        """Ask every host."""
        answers = self._answers()
        reachable_count = sum(answer.is_reachable for answer in answers.values())
        reachable_percent = round(100 * reachable_count / len(answers), 1)
        metrics = {
            "hosts": {host: _metrics(answer) for host, answer in answers.items()},
            "reachable_count": reachable_count,
            "total_hosts": len(answers),
            "reachable_percent": reachable_percent,
        }
        reading = self.config.read(reachable_percent, _sentence(answers, reachable_percent))
        return conclude(self.kind, [reading], metrics=metrics)

    def _answers(self) -> dict[str, Answer]:
        """What came of asking each host. Raises what asking one raised: then nothing is known of the network."""
        config = self.config
        ask_host = partial(
            ask, count=config.ping_count, timeout_seconds=config.ping_timeout, tcp_port=config.tcp_port
        )
        outcomes = side_by_side(
            {host: partial(ask_host, host) for host in config.hosts}, timeout_seconds=config.asking_seconds
        )
        answers: dict[str, Answer] = {}
        for host, outcome in outcomes.items():
            if isinstance(outcome, HungError):
                answers[host] = Answer(reason=f"no answer within {config.asking_seconds:g} s")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                answers[host] = outcome
        return answers


def _metrics(answer: Answer) -> dict[str, Any]:
    return {
        "reachable": answer.is_reachable,
        "latency_ms": answer.latency_ms,
        "method": answer.method,
        "sent": answer.sent,
        "received": answer.received,
        "reason": answer.reason,
    }


def _sentence(answers: dict[str, Answer], reachable_percent: float) -> str:
    said = f"{reachable_percent:g} % of {len(answers)} hosts reachable"
    lost = [
        f"{host} ({answer.method + ': ' if answer.method else ''}{answer.reason})"
        for host, answer in answers.items()
        if not answer.is_reachable
    ]
    if not lost:
        return said
    more = f" and {len(lost) - SENTENCES_SHOWN} more" if len(lost) > SENTENCES_SHOWN else ""
    return f"{said}, unreachable: {', '.join(lost[:SENTENCES_SHOWN])}{more}"
