import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import pytest
from networks import closed_port, needs_ipv6
from pydantic import ValidationError
from threads import is_left_behind

from storage.records import CheckResult
from storage.redaction import redact
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.clock_skew import ClockSkew

FROM_1900_TO_1970_SECONDS = (70 * 365 + 17) * 86_400

Reply = Callable[[bytes], Iterable[bytes]]


def check(*servers: str, **config: Any) -> CheckResult:
    return ClockSkew(ClockSkew.Config.model_validate({"servers": servers, "timeout": 2, **config})).measure()


class TimeServer:
    """An NTP server on loopback that answers a request with some packets, from its own socket or another."""

    def __init__(self, reply: Reply, *, host: str = "127.0.0.1", speaks_from: socket.socket | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.01)
        self._speaker = speaks_from or self._socket
        self._reply = reply
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.requests: list[bytes] = []
        self.port: int = self._socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                request, sender = self._socket.recvfrom(1024)
            except TimeoutError:
                continue
            self.requests.append(request)
            for packet in self._reply(request):
                self._speaker.sendto(packet, sender)
                if self._is_over.is_set():
                    break


def answer(
    request: bytes,
    *,
    ahead_seconds: float = 0.0,
    leap: int = 0,
    version: int = 4,
    mode: int = 4,
    stratum: int = 2,
    root_delay: float = 0.01,
    root_dispersion: float = 0.01,
    reference: bytes = b"GPS\0",
    origin: bytes | None = None,
    receipt: bytes | None = None,
    sending: bytes | None = None,
) -> bytes:
    """A server's packet, field by field as RFC 5905 draws it, from a server whose clock is that much ahead."""
    now = ntp_time(time.time() + ahead_seconds)
    head = struct.pack("!B", leap << 6 | version << 3 | mode)
    short = struct.pack("!ii", int(root_delay * 65536), int(root_dispersion * 65536))
    return (
        head
        + struct.pack("!Bbb", stratum, 6, -20)
        + short
        + reference
        + now
        + (request[40:48] if origin is None else origin)
        + (receipt or now)
        + (sending or now)
    )


def ntp_time(unix_seconds: float) -> bytes:
    seconds = unix_seconds + FROM_1900_TO_1970_SECONDS
    return struct.pack("!II", int(seconds) % 2**32, int(seconds % 1 * 2**32))


def server(**fields: Any) -> TimeServer:
    return TimeServer(lambda request: [answer(request, **fields)])


def silent() -> TimeServer:
    return TimeServer(lambda _: [])


# Offsets


@pytest.mark.parametrize(
    ("ahead_seconds", "status"),
    [
        (0, "ok"),
        (0.4, "ok"),
        (-0.4, "ok"),
        (0.6, "warning"),
        (-0.6, "warning"),
        (4.9, "warning"),
        (5.1, "critical"),
        (-5.1, "critical"),
        (-1e9, "critical"),
    ],
)
def test_a_clock_that_is_further_off_is_worse_either_way(ahead_seconds, status):
    with server(ahead_seconds=ahead_seconds) as one:
        result = check(one.address)

    assert result.status == status
    assert result.readings[0].value == pytest.approx(abs(ahead_seconds), abs=0.1)
    assert result.metrics["offset_seconds"] == pytest.approx(ahead_seconds, abs=0.02)


@pytest.mark.parametrize(("ahead_seconds", "side"), [(60, "behind"), (-60, "ahead of")])
def test_which_way_the_clock_is_off_is_told(ahead_seconds, side):
    with server(ahead_seconds=ahead_seconds) as one:
        [reading] = check(one.address).readings

        seconds = f"{reading.value:.3f}"
        assert reading.message == f"The clock is {seconds} s {side} {one.address} (critical at 5 s)"
        assert reading.target == ""


def test_an_answer_that_takes_its_time_both_ways_alike_is_no_skew():
    """The server got the request 0.2 s after it was sent, and its answer takes 0.2 s."""

    def reply(request: bytes) -> list[bytes]:
        time.sleep(0.2)
        packet = answer(request)
        time.sleep(0.2)
        return [packet]

    with TimeServer(reply) as one:
        metrics = check(one.address).metrics

    assert metrics["offset_seconds"] == pytest.approx(0, abs=0.05)
    assert metrics["servers"][0]["round_trip_ms"] == pytest.approx(400, abs=50)


def test_the_time_that_a_server_holds_the_request_is_not_on_the_way():
    def reply(request: bytes) -> list[bytes]:
        receipt = ntp_time(time.time())
        time.sleep(0.3)
        return [answer(request, receipt=receipt)]

    with TimeServer(reply) as one:
        metrics = check(one.address).metrics

    assert metrics["offset_seconds"] == pytest.approx(0, abs=0.05)
    assert metrics["servers"][0]["round_trip_ms"] < 50


@pytest.mark.parametrize(
    "unix_seconds",
    [
        pytest.param(2_085_978_495, id="the last second of the first era, in February 2036"),
        pytest.param(2_085_978_497, id="the first seconds of the second"),
        pytest.param(2_500_000_000, id="2049"),
    ],
)
def test_times_after_the_turn_of_the_era_are_understood(unix_seconds):
    stamp = ntp_time(unix_seconds)

    with server(receipt=stamp, sending=stamp) as one:
        metrics = check(one.address).metrics

    assert metrics["offset_seconds"] == pytest.approx(unix_seconds - time.time(), abs=0.5)


def test_a_clock_of_1970_is_seen_to_be_decades_behind(monkeypatch):
    true_time = time.time()
    stamp = ntp_time(true_time)
    monkeypatch.setattr("tasks.check.readings.sntp.time.time", lambda: 1000.0)

    with server(receipt=stamp, sending=stamp) as one:
        metrics = check(one.address).metrics

    assert metrics["offset_seconds"] == pytest.approx(true_time - 1000, abs=1)


# Several servers


def test_with_three_servers_one_that_is_wrong_does_no_harm():
    with server() as first, server(ahead_seconds=3600) as wrong, server(ahead_seconds=0.1) as third:
        result = check(first.address, wrong.address, third.address)

    assert result.status is CheckStatus.OK
    assert "the median of 3 time servers" in result.message
    assert result.metrics["offset_seconds"] == pytest.approx(0.1, abs=0.02)
    assert [each["offset_seconds"] for each in result.metrics["servers"]] == [
        pytest.approx(offset, abs=0.02) for offset in (0, 3600, 0.1)
    ]


def test_a_server_that_is_silent_is_left_out_and_named_in_the_metrics():
    started = time.monotonic()
    with server(ahead_seconds=1, stratum=3) as good, silent() as bad:
        result = check(good.address, bad.address, timeout=0.3)

    assert 0.27 <= time.monotonic() - started < 1
    assert result.status is CheckStatus.WARNING
    assert f"behind {good.address}" in result.message
    told, lacking = result.metrics["servers"]
    assert told.keys() == {"server", "offset_seconds", "round_trip_ms", "stratum"}
    assert (told["server"], told["stratum"]) == (good.address, 3)
    assert lacking == {"server": bad.address, "error": "no answer in time"}


def test_servers_that_are_all_silent_are_unknown_and_named_in_the_time_of_one():
    started = time.monotonic()
    with silent() as first, silent() as second:
        result = check(first.address, second.address, timeout=0.3)

    assert time.monotonic() - started < 0.6
    assert result.status is CheckStatus.UNKNOWN
    assert result.error == (
        f"No time server tells the time: {first.address}: no answer in time; {second.address}: no answer in time"
    )
    assert result.metrics["offset_seconds"] is None


def test_nobody_listening_is_unknown_at_once():
    port = closed_port(socket.SOCK_DGRAM)
    started = time.monotonic()

    result = check(f"127.0.0.1:{port}")

    assert result.error == f"No time server tells the time: 127.0.0.1:{port}: Connection refused"
    assert time.monotonic() - started < 1


def test_a_name_that_does_not_exist_is_unknown():
    result = check("nowhere.invalid")

    assert result.error.startswith("No time server tells the time: nowhere.invalid: ")


@pytest.mark.parametrize("broken", [silent, lambda: server(leap=3), None], ids=["silent", "lost", "nobody"])
def test_of_a_servers_addresses_one_that_answers_is_enough(monkeypatch, broken):
    def reply(request: bytes) -> list[bytes]:
        time.sleep(0.05)
        return [answer(request)]

    with TimeServer(reply) as good, (broken or silent)() as first:
        ports = [first.port if broken else closed_port(socket.SOCK_DGRAM), good.port]
        found = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        assert check("pool.example.org", timeout=0.5).status is CheckStatus.OK


def test_a_look_up_that_hangs_is_unknown_in_time(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    started = time.monotonic()

    result = check("slow.example.org", timeout=0.2)

    assert time.monotonic() - started < 1.5
    over.set()
    assert result.error == "No time server tells the time: slow.example.org: no answer in time"


@needs_ipv6
def test_a_server_is_reached_by_ipv6():
    with TimeServer(lambda request: [answer(request)], host="::1") as one:
        assert check(one.address).status is CheckStatus.OK


# Answers that are none


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mode": 3}, "answers in another mode than a server's"),
        ({"mode": 5}, "answers in another mode than a server's"),
        ({"stratum": 0, "reference": b"RATE"}, "refuses to be asked (RATE)"),
        ({"stratum": 0, "reference": b"\xff\0\n\1"}, "refuses to be asked (no reason given)"),
        ({"stratum": 0, "reference": b"RST\0", "leap": 3}, "refuses to be asked (RST)"),
        ({"leap": 3}, "does not know the time itself"),
        ({"stratum": 16}, "does not know the time itself"),
        ({"sending": b"\0" * 8}, "does not know the time itself"),
        ({"receipt": b"\0" * 8}, "does not know the time itself"),
        ({"root_dispersion": 2}, "is too far away from the true time"),
        ({"root_delay": 3.1}, "is too far away from the true time"),
    ],
)
def test_a_server_without_the_time_is_no_server(fields, says):
    with server(**{"ahead_seconds": 60, **fields}) as one:
        result = check(one.address)

    assert result.status is CheckStatus.UNKNOWN
    assert result.error.startswith(f"No time server tells the time: {one.address}: {says}")


@pytest.mark.parametrize("fields", [{"stratum": 1}, {"stratum": 15}, {"leap": 1}, {"leap": 2}, {"version": 3}])
def test_what_a_proper_server_may_say_is_accepted(fields):
    with server(**fields) as one:
        assert check(one.address).status is CheckStatus.OK


@pytest.mark.parametrize(
    "forge",
    [
        lambda request: answer(request, ahead_seconds=60, origin=b"\0" * 8),
        lambda request: answer(request, ahead_seconds=60, origin=os.urandom(8)),
        lambda request: answer(request, ahead_seconds=60)[:47],
        lambda _: b"",
    ],
    ids=["no origin", "another origin", "cut off", "empty"],
)
def test_a_forged_answer_is_passed_over_for_the_true_one(forge):
    with TimeServer(lambda request: [forge(request)]) as forger:
        forged_only = check(forger.address, timeout=0.2)
    with TimeServer(lambda request: [forge(request), answer(request)]) as both:
        then_true = check(both.address)

    assert forged_only.status is CheckStatus.UNKNOWN
    assert then_true.status is CheckStatus.OK


def test_an_answer_from_another_address_is_not_heard():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        with TimeServer(lambda request: [answer(request)], speaks_from=elsewhere) as one:
            result = check(one.address, timeout=0.3)

    assert one.requests
    assert result.status is CheckStatus.UNKNOWN


def test_a_flood_of_forged_answers_ends_at_the_timeout_and_leaves_no_thread_behind():
    def flood(request: bytes) -> Iterator[bytes]:
        forged, until = answer(request, origin=b"\1" * 8), time.monotonic() + 1.5
        while time.monotonic() < until:
            yield forged
            time.sleep(0.0005)

    with TimeServer(flood) as one:
        result = check(one.address, timeout=0.3)

        assert not is_left_behind(one.address)
    assert result.status is CheckStatus.UNKNOWN


def test_a_request_is_a_plain_one_of_version_4_whose_stamp_cannot_be_guessed():
    with server() as one:
        check(one.address)
        check(one.address)

        first, second = one.requests
    assert (len(first), first[0]) == (48, 0b00_100_011)
    assert first[1:40] == bytes(39)
    assert first[40:] != second[40:]


# Config


def test_without_servers_it_does_not_apply():
    with pytest.raises(NotApplicableError, match=r"^no time server is named \(config key servers\)$"):
        check()


def test_metrics_are_stored_as_they_are_for_any_name():
    with server() as one:
        metrics = check(f"localhost:{one.port}", "api.invalid").metrics

    assert metrics.keys() == {"offset_seconds", "servers"}
    assert redact(metrics) == metrics


@pytest.mark.parametrize(
    "name", ["", "a b", "::1", "ntp://a", "a:0", "a:65536", "a:ntp", "a/b", "a\x00", "[::1", 123]
)
def test_a_server_that_cannot_be_meant_is_refused_by_name(name):
    with pytest.raises(ValidationError, match=r"servers\.0"):
        ClockSkew.Config.model_validate({"servers": [name]})


def test_a_warning_threshold_on_the_wrong_side_is_refused_by_name():
    with pytest.raises(ValidationError, match="warning_threshold 6 must not be above critical_threshold 5"):
        ClockSkew.Config(warning_threshold=6)
