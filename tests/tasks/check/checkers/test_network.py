import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from networks import ROOT, in_own_network
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.network import Network


def measured(config: dict[str, Any]) -> tuple[CheckResult, float]:
    """A result from a network of its own where only loopback is up, and the seconds that it took.

    198.51.100.0/24 is a black hole there: loopback drops what is not addressed to it.
    """
    program = (
        "import json, sys, time\n"
        "from tasks.check.checkers.network import Network\n"
        "checker = Network(Network.Config.model_validate(json.loads(sys.argv[1])))\n"
        "started = time.monotonic()\n"
        "result = checker.measure()\n"
        "print(json.dumps([result.model_dump(mode='json'), time.monotonic() - started], allow_nan=False))\n"
    )
    said = in_own_network(program, json.dumps(config), setup="ip route add 198.51.100.0/24 dev lo")
    result, took_seconds = json.loads(said)
    return CheckResult.model_validate(result), took_seconds


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Something to hang on, let go at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(
    ("reachable_percent", "status"),
    [
        (100, "ok"),
        (70, "ok"),
        (69.9, "warning"),
        (66.7, "warning"),
        (50, "warning"),
        (49.9, "critical"),
        (0, "critical"),
    ],
)
def test_fewer_reachable_hosts_are_worse(reachable_percent: float, status: str) -> None:
    assert Network.Config().judge(reachable_percent) == status


def test_hosts_that_answer_are_told_with_method_and_latency() -> None:
    result, _ = measured({"hosts": ["127.0.0.1", "127.0.0.9"], "ping_count": 3})

    assert (result.status, result.message) == (CheckStatus.OK, "100 % of 2 hosts reachable")
    assert result.metrics.keys() == {"hosts", "reachable_count", "total_hosts", "reachable_percent"}
    assert result.metrics["hosts"].keys() == {"127.0.0.1", "127.0.0.9"}
    host = result.metrics["hosts"]["127.0.0.9"]
    assert 0 < host.pop("latency_ms") < 500
    assert host == {"reachable": True, "method": "icmp", "sent": 3, "received": 3, "reason": None}


def test_there_is_one_reading_whichever_hosts_are_lost() -> None:
    result, _ = measured({"hosts": ["127.0.0.1", "198.51.100.1", "198.51.100.2"], "ping_timeout": 0.2})

    assert [(reading.target, reading.value) for reading in result.readings] == [("", 33.3)]


def test_a_lost_host_is_named_with_the_method_and_the_reason() -> None:
    result, _ = measured({"hosts": ["127.0.0.1", "198.51.100.1"], "ping_timeout": 0.2})

    assert result.status is CheckStatus.WARNING
    assert result.message == (
        "50 % of 2 hosts reachable, unreachable: 198.51.100.1 (icmp: no reply within 0.2 s) (warning below 70 %)"
    )
    assert result.metrics["hosts"]["198.51.100.1"] == {
        "reachable": False,
        "latency_ms": None,
        "method": "icmp",
        "sent": 1,
        "received": 0,
        "reason": "no reply within 0.2 s",
    }
    assert (result.metrics["reachable_count"], result.metrics["reachable_percent"]) == (1, 50.0)


def test_black_holes_are_waited_for_side_by_side() -> None:
    hosts = [f"198.51.100.{number}" for number in range(1, 31)]

    result, took_seconds = measured({"hosts": ["127.0.0.1", *hosts], "ping_timeout": 0.2, "ping_count": 2})

    assert 0.4 <= took_seconds < 1.6
    assert (result.metrics["reachable_count"], result.metrics["total_hosts"]) == (1, 31)
    assert "198.51.100.5 (icmp: no reply within 0.2 s) and 25 more (critical" in result.message
    assert "198.51.100.6" not in result.message


def test_no_network_at_all_is_critical_with_the_reason() -> None:
    result, _ = measured({"hosts": ["192.0.2.1", "2001:db8::1"]})

    assert result.status is CheckStatus.CRITICAL
    assert "192.0.2.1 (icmp: Network is unreachable)" in result.message
    assert "2001:db8::1 (icmp: " in result.message


def test_a_name_that_cannot_be_resolved_is_a_host_that_is_not_reached() -> None:
    result, _ = measured({"hosts": ["nosuch.invalid", "127.0.0.1"]})

    assert result.status is CheckStatus.WARNING
    assert "unreachable: nosuch.invalid (name cannot be resolved: " in result.message
    assert result.metrics["hosts"]["nosuch.invalid"]["method"] is None


def test_a_name_service_that_hangs_costs_one_host_and_not_the_check(
    never: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def hang(host: bytes, *args: Any, **kwargs: Any) -> Any:
        if host == b"slow.example":
            never.wait()
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = {"hosts": ["slow.example", "127.0.0.1"], "tcp_port": server.getsockname()[1]}
        started = time.monotonic()
        result = Network(Network.Config(**config, timeout=1.5, ping_timeout=0.2)).measure()

    assert 1.35 <= time.monotonic() - started < 1.5
    assert "slow.example (no answer within 1.35 s)" in result.message
    assert result.metrics["hosts"]["127.0.0.1"]["reachable"] is True


def test_what_keeps_this_process_from_asking_is_no_news_of_the_network() -> None:
    program = (
        "import resource\n"
        "from tasks.check.checkers.network import Network\n"
        "from tasks.check.checks import run_checkers\n"
        "checker = Network(Network.Config(hosts=['127.0.0.1']))\n"
        "kept = open('/dev/null')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (kept.fileno() + 1,) * 2)\n"
        "[result] = run_checkers([checker])\n"
        "print(result.status, result.error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "unknown NotAvailableError: Too many open files\n"


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "::1",
        "fe80::1%eth0",
        "web-01",
        "web_01.example.com",
        "example.com.",
        "xn--mnchen-3ya.de",
        "3com.example",
        "a" * 63 + ".example",
    ],
)
def test_a_name_or_an_address_is_a_host(host: str) -> None:
    assert Network.Config(hosts=[host]).hosts == [host]


@pytest.mark.parametrize(
    "host",
    [
        "",
        "-f",
        "-c100000",
        "--help",
        "web 01",
        "127.0.0.1 -f",
        "web-.example",
        "a..b",
        ".example",
        "example.com:443",
        "https://example.com",
        "[::1]",
        "8.8.8",
        "1",
        "0x7f.1",
        "256.1.1.1",
        "1.2.3.4.",
        "fe80::1%-f x",
        "fe80::1%$(id)",
        "münchen.de",
        "\u0661.\u0661.\u0661.\u0661",
        "web\n",
        "web\x00",
        "a" * 64,
        "a." * 127 + "example",
    ],
)
def test_what_is_no_host_is_refused_by_its_place(host: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Network.Config(hosts=["127.0.0.1", host])

    assert [error["loc"] for error in refusal.value.errors()] == [("hosts", 1)]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"hosts": []}, "hosts"),
        ({"hosts": "8.8.8.8"}, "hosts"),
        ({"hosts": [f"192.0.2.{number}" for number in range(51)]}, "hosts"),
        ({"ping_count": 0}, "ping_count"),
        ({"ping_count": 1.5}, "ping_count"),
        ({"ping_timeout": 0}, "ping_timeout"),
        ({"ping_timeout": float("nan")}, "ping_timeout"),
        ({"tcp_port": 0}, "tcp_port"),
        ({"tcp_port": 65536}, "tcp_port"),
        ({"ping_count": 5}, r"ping_count 5 x ping_timeout 2 s must take less than 9 s, .* timeout 10 s"),
        ({"ping_timeout": 9}, r"ping_count 1 x ping_timeout 9 s must take less than 9 s"),
        ({"timeout": 2}, r"ping_count 1 x ping_timeout 2 s must take less than 1\.8 s"),
        ({"warning_threshold": 40}, "warning_threshold 40 must not be below critical_threshold 50"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Network.Config.model_validate(config)


def test_defaults_are_those_of_the_documentation() -> None:
    config = Network.Config()

    assert (config.hosts, config.ping_count) == (["8.8.8.8", "1.1.1.1"], 1)
    assert config.thresholds == (70.0, 50.0)
    assert (config.ping_timeout, config.tcp_port) == (2.0, 443)
