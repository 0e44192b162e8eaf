import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import ROOT, in_own_network, needs_ipv6

from tasks.check.readings.icmp import checksum_of, echo_request, is_reply
from tasks.check.readings.ping import (
    Address,
    NotAvailableError,
    ask,
    echo_by_icmp,
    echo_by_program,
    echo_by_tcp,
    read_program,
)

LOOPBACK = Address(socket.AF_INET, ("127.0.0.1", 443))
# Seen on a raw socket of Linux 6.18 when 127.0.0.1 was sent an echo request: the request, then its reply.
RAW_REQUEST = bytes.fromhex("45000020d50940004001 67d17f0000017f000001 0800 2104 1234 0001 61626364")
RAW_REPLY = bytes.fromhex("45000020d50a00004001 a7d07f0000017f000001 0000 2904 1234 0001 61626364")
IP_HEADER_BYTES = 20


def may_ping() -> bool:
    try:
        echo_by_icmp(LOOPBACK, 1)
    except (NotAvailableError, OSError):
        return False
    return True


needs_icmp = pytest.mark.skipif(not may_ping(), reason="this user may open no ICMP socket")

PRELUDE = """
import json, os, socket, threading, time
from pathlib import Path
from tasks.check.readings import icmp, ping
def nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
ignore = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")
"""


def said_in_own_network(program: str, *, path: str | None = None) -> Any:
    return json.loads(in_own_network(PRELUDE + program, path=path))


@pytest.fixture
def bin_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that comes first on PATH, and that every user may read."""
    folder = Path(tempfile.mkdtemp())  # tmp_path is closed to the others
    folder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield folder
    shutil.rmtree(folder)


def write_ping(folder: Path, script: str, *, names: Sequence[str] = ("ping", "ping6")) -> None:
    for name in names:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


def test_the_checksum_is_that_of_the_standards_example() -> None:
    assert checksum_of(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3


def test_a_carry_that_carries_again_is_added_again() -> None:
    assert checksum_of(bytes.fromhex("ffffffff0001")) == 0xFFFE


def test_an_odd_last_byte_counts_as_the_upper_half_of_a_word() -> None:
    assert checksum_of(b"\x01") == checksum_of(b"\x01\x00") == 0xFEFF


def test_a_request_is_what_the_kernel_sends_and_checks() -> None:
    request = echo_request(socket.AF_INET, identifier=0x1234, token=b"abcd")

    assert request == RAW_REQUEST[IP_HEADER_BYTES:]


def of_ipv4(*, kind: int = 0, code: int = 0, identifier: int = 0x1234, sequence: int = 1, token: bytes = b"abcd"):
    """An ICMP message with a right checksum."""
    body = struct.pack("!HH", identifier, sequence) + token
    checksum = checksum_of(struct.pack("!BBH", kind, code, 0) + body)
    return struct.pack("!BBH", kind, code, checksum) + body


HEADER = RAW_REPLY[:IP_HEADER_BYTES]
HEADER_WITH_OPTIONS = b"\x46" + HEADER[1:] + b"\x94\x04\x00\x00"  # router alert


@pytest.mark.parametrize(
    ("packet", "kind", "expected"),
    [
        pytest.param(RAW_REPLY, socket.SOCK_RAW, True, id="the reply"),
        pytest.param(HEADER_WITH_OPTIONS + of_ipv4(), socket.SOCK_RAW, True, id="the reply behind IP options"),
        pytest.param(RAW_REQUEST, socket.SOCK_RAW, False, id="our own request, on loopback"),
        pytest.param(HEADER + of_ipv4(identifier=9), socket.SOCK_RAW, False, id="another program's id"),
        pytest.param(HEADER + of_ipv4(sequence=2), socket.SOCK_RAW, False, id="another sequence"),
        pytest.param(HEADER + of_ipv4(token=b"abce"), socket.SOCK_RAW, False, id="another token"),
        pytest.param(HEADER + of_ipv4(token=b"abcd\x00\x00"), socket.SOCK_RAW, False, id="too long"),
        pytest.param(HEADER + of_ipv4(kind=3, code=1), socket.SOCK_RAW, False, id="host unreachable"),
        pytest.param(HEADER + of_ipv4(code=1), socket.SOCK_RAW, False, id="no such code"),
        pytest.param(RAW_REPLY[:22] + b"\x29\x05" + RAW_REPLY[24:], socket.SOCK_RAW, False, id="broken"),
        pytest.param(RAW_REPLY[:-2], socket.SOCK_RAW, False, id="cut off"),
        pytest.param(RAW_REPLY[:10], socket.SOCK_RAW, False, id="cut off in the IP header"),
        pytest.param(b"", socket.SOCK_RAW, False, id="empty"),
        pytest.param(of_ipv4(identifier=9), socket.SOCK_DGRAM, True, id="Linux put in its own id"),
        pytest.param(HEADER + of_ipv4(), socket.SOCK_DGRAM, True, id="macOS hands over the IP header"),
        pytest.param(of_ipv4(sequence=2), socket.SOCK_DGRAM, False, id="datagram, another sequence"),
        pytest.param(of_ipv4(token=b"abce"), socket.SOCK_DGRAM, False, id="datagram, another token"),
    ],
)
def test_only_the_reply_to_this_request_counts(packet: bytes, kind: int, expected: bool) -> None:
    request = RAW_REQUEST[IP_HEADER_BYTES:]

    assert is_reply(packet, request, socket.AF_INET, kind) is expected


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        # Seen on a raw socket of Linux 6.18 when ::1 was sent an echo request: the reply, then the request.
        ("8100a7bb1234000161626364", True),
        ("8000a8bb1234000161626364", False),
        ("8100a7bb1235000161626364", False),
    ],
)
def test_a_reply_by_ipv6_has_no_header_and_no_checksum_of_ours(packet: str, expected: bool) -> None:
    request = echo_request(socket.AF_INET6, identifier=0x1234, token=b"abcd")

    assert is_reply(bytes.fromhex(packet), request, socket.AF_INET6, socket.SOCK_RAW) is expected


@needs_icmp
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", pytest.param("::1", marks=needs_ipv6)])
def test_a_host_is_asked_by_icmp_where_this_process_may(host: str) -> None:
    answer = ask(host, count=2, timeout_seconds=1, tcp_port=1)

    assert (answer.method, answer.sent, answer.received, answer.reason) == ("icmp", 2, 2, None)
    assert answer.latency_ms is not None
    assert 0 < answer.latency_ms < 500


def test_the_kernel_counts_the_echoes_that_we_say_we_sent() -> None:
    program = """
def counted():
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Icmp:")]
    counters = dict(zip(*lines))
    return [int(counters[name]) for name in ("OutMsgs", "InEchos", "InEchoReps")]
before = counted()
answer = ping.ask("127.0.0.1", count=5, timeout_seconds=1, tcp_port=1)
print(json.dumps([answer.received, [after - b for after, b in zip(counted(), before)]]))
"""
    received, (out, echoes, replies) = said_in_own_network(program)

    assert received == 5
    assert (out, echoes, replies) == (10, 5, 5)  # the kernel answers itself


@needs_icmp
def test_pings_of_one_host_at_once_do_not_take_each_others_replies() -> None:
    answers: list[Any] = []

    def run() -> None:
        answers.append(ask("127.0.0.1", count=10, timeout_seconds=5, tcp_port=1))

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.received for answer in answers] == [10] * 20


def test_silence_ends_at_the_timeout_and_is_not_asked_about_by_tcp() -> None:
    program = """
ignore.write_text("1")
listener = socket.create_server(("127.0.0.1", 4430))
started = time.monotonic()
answer = ping.ask("127.0.0.1", count=2, timeout_seconds=0.3, tcp_port=4430)
print(json.dumps([answer.method, answer.received, answer.latency_ms, answer.reason, time.monotonic() - started]))
"""
    method, received, latency_ms, reason, took_seconds = said_in_own_network(program)

    assert (method, received, latency_ms, reason) == ("icmp", 0, None, "no reply within 0.3 s")
    assert 0.6 <= took_seconds < 1.2


def test_a_flood_of_other_replies_neither_counts_nor_keeps_the_wait_from_ending() -> None:
    program = """
ignore.write_text("1")
is_over = threading.Event()
def flood():
    connection = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    request = icmp.echo_request(socket.AF_INET, identifier=7, token=b"x" * 24)
    reply = b"\\0\\0" + (icmp.checksum_of(b"\\0\\0\\0\\0" + request[4:])).to_bytes(2, "big") + request[4:]
    while not is_over.is_set():
        connection.sendto(reply, ("127.0.0.1", 0))
        time.sleep(0.001)
thread = threading.Thread(target=flood)
thread.start()
started = time.monotonic()
answer = ping.ask("127.0.0.1", count=1, timeout_seconds=0.5, tcp_port=1)
took = time.monotonic() - started
is_over.set()
thread.join()
print(json.dumps([answer.method, answer.received, took]))
"""
    method, received, took_seconds = said_in_own_network(program)

    assert (method, received) == ("icmp", 0)
    assert 0.5 <= took_seconds < 1.0


def test_latency_is_the_mean_time_until_the_replies() -> None:
    # Another program answers in the kernel's place, 50 and 150 ms late; the third one never.
    program = """
ignore.write_text("1")
connection = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def answer():
    for delay in (0.05, 0.15, None):
        packet = b""
        while packet[20:21] != b"\\x08":
            packet = connection.recv(2000)
        if delay:
            time.sleep(delay)
            body = packet[24:]
            checksum = icmp.checksum_of(b"\\0\\0\\0\\0" + body).to_bytes(2, "big")
            connection.sendto(b"\\0\\0" + checksum + body, ("127.0.0.1", 0))
threading.Thread(target=answer, daemon=True).start()
answer = ping.ask("127.0.0.1", count=3, timeout_seconds=0.3, tcp_port=1)
print(json.dumps([answer.sent, answer.received, answer.latency_ms]))
"""
    sent, received, latency_ms = said_in_own_network(program)

    assert (sent, received) == (3, 2)
    assert latency_ms == pytest.approx(100, abs=40)
    assert latency_ms == round(latency_ms, 2)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_an_ordinary_user_uses_icmp_where_the_kernel_lets_everybody(host: str) -> None:
    program = f"""
Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
nobody()
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw = "allowed"
except PermissionError:
    raw = "denied"
answer = ping.ask({host!r}, count=2, timeout_seconds=1, tcp_port=1)
print(json.dumps([raw, answer.method, answer.received]))
"""
    assert said_in_own_network(program) == ["denied", "icmp", 2]


def test_a_network_without_a_route_is_the_reason_that_is_given() -> None:
    assert said_in_own_network(
        'print(json.dumps(ping.ask("192.0.2.1", count=1, timeout_seconds=5, tcp_port=1).reason))'
    ) == ("Network is unreachable")


def test_a_firewalls_refusal_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the kernel makes of "port unreachable"; there is no firewall here to send one.
    def refused(_socket: socket.socket, _size: int) -> bytes:
        raise ConnectionRefusedError(111, "Connection refused")

    if not may_ping():
        pytest.skip("this user may open no ICMP socket")
    monkeypatch.setattr(socket.socket, "recv", refused)

    assert (
        ask("127.0.0.1", count=1, timeout_seconds=1, tcp_port=1).reason == "turned away by a firewall or a router"
    )


def test_a_name_that_nobody_knows_is_unreachable_with_its_reason() -> None:
    answer = said_in_own_network(
        'answer = ping.ask("nosuch.invalid", count=1, timeout_seconds=5, tcp_port=1)\n'
        "print(json.dumps([answer.is_reachable, answer.method, answer.reason]))"
    )

    assert answer[:2] == [False, None]
    assert answer[2].startswith("name cannot be resolved: ")


# Recorded, the Linux ones with -n -c 1; the macOS ones are from what people have published.
IPUTILS = """\
PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.037 ms

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time 0ms
rtt min/avg/max/mdev = 0.037/0.037/0.037/0.000 ms
"""
IPUTILS_IPV6 = """\
PING ::1(::1) 56 data bytes
64 bytes from ::1: icmp_seq=1 ttl=64 time=0.023 ms

--- ::1 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time 0ms
rtt min/avg/max/mdev = 0.023/0.023/0.023/0.000 ms
"""
BUSYBOX = """\
PING 127.0.0.1 (127.0.0.1): 56 data bytes
64 bytes from 127.0.0.1: seq=0 ttl=64 time=0.029 ms

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 packets received, 0% packet loss
round-trip min/avg/max = 0.029/0.029/0.029 ms
"""
INETUTILS = """\
PING 127.0.0.1 (127.0.0.1): 56 data bytes
64 bytes from 127.0.0.1: icmp_seq=0 ttl=64 time=0.040 ms
--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 packets received, 0% packet loss
round-trip min/avg/max/stddev = 0.040/0.040/0.040/0.000 ms
"""
MACOS = """\
PING google.de (142.250.186.131): 56 data bytes
64 bytes from 142.250.186.131: icmp_seq=0 ttl=60 time=15.538 ms

--- google.de ping statistics ---
1 packets transmitted, 1 packets received, 0.0% packet loss
round-trip min/avg/max/stddev = 15.538/15.538/15.538/0.000 ms
"""
MACOS_IPV6 = """\
PING6(56=40+8+8 bytes) 2001:db8::d9ab --> 2001:4860:4860::8844
16 bytes from 2001:4860:4860::8844, icmp_seq=0 hlim=118 time=15.929 ms

--- 2001:4860:4860::8844 ping6 statistics ---
1 packets transmitted, 1 packets received, 0.0% packet loss
round-trip min/avg/max/std-dev = 15.929/15.929/15.929/0.000 ms
"""


@pytest.mark.parametrize(
    ("output", "latency_ms"),
    [
        (IPUTILS, 0.037),
        (IPUTILS_IPV6, 0.023),
        (BUSYBOX, 0.029),
        (INETUTILS, 0.040),
        (MACOS, 15.538),
        (MACOS_IPV6, 15.929),
    ],
)
def test_the_time_of_a_reply_is_read_from_every_kind_of_ping(output: str, latency_ms: float) -> None:
    assert read_program(output) == latency_ms


IPUTILS_SENT_BACK = """\
PING 8.8.8.8 (8.8.8.8) 56(84) bytes of data.
From 198.51.100.9 icmp_seq=1 Destination Port Unreachable

--- 8.8.8.8 ping statistics ---
1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms

"""
INETUTILS_SENT_BACK = """\
PING 192.0.2.77 (192.0.2.77): 56 data bytes
92 bytes from 192.0.2.2: Destination Host Unreachable
--- 192.0.2.77 ping statistics ---
1 packets transmitted, 0 packets received, 100% packet loss
"""
MACOS_SENT_BACK = """\
PING 192.168.1.110 (192.168.1.110): 56 data bytes
36 bytes from 10.0.1.1: Destination Net Unreachable
Vr HL TOS  Len   ID Flg  off TTL Pro  cks      Src      Dst
 4  5  00 5400 935d   0 0000  40  01 1a33 10.0.1.3  192.168.1.110
"""
MACOS_NO_ROUTE = """\
PING 192.168.122.1 (192.168.122.1): 56 data bytes
ping: sendto: No route to host
Request timeout for icmp_seq 0
"""
IPUTILS_NO_ROUTE = "/usr/bin/ping: connect: Network is unreachable\n"
BUSYBOX_NO_ROUTE = """\
PING 127.0.0.1 (127.0.0.1): 56 data bytes
ping: sendto: Network is unreachable
"""
INETUTILS_NO_ROUTE = """\
PING 127.0.0.1 (127.0.0.1): 56 data bytes
/usr/bin/ping: sending packet: Network is unreachable
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (IPUTILS_SENT_BACK, "Destination Port Unreachable"),
        (INETUTILS_SENT_BACK, "Destination Host Unreachable"),
        (MACOS_SENT_BACK, "Destination Net Unreachable"),
        (MACOS_NO_ROUTE, "No route to host"),
        (IPUTILS_NO_ROUTE, "Network is unreachable"),
        (BUSYBOX_NO_ROUTE, "Network is unreachable"),
        (INETUTILS_NO_ROUTE, "Network is unreachable"),
    ],
)
def test_the_reason_why_no_reply_came_is_read_from_every_kind_of_ping(output: str, reason: str) -> None:
    with pytest.raises(OSError, match=f"^{reason}$"):
        read_program(output)


IPUTILS_SILENCE = """\
PING 198.51.100.1 (198.51.100.1) 56(84) bytes of data.

--- 198.51.100.1 ping statistics ---
1 packets transmitted, 0 received, 100% packet loss, time 0ms

"""
BUSYBOX_SILENCE = """\
PING 198.51.100.1 (198.51.100.1): 56 data bytes

--- 198.51.100.1 ping statistics ---
1 packets transmitted, 0 packets received, 100% packet loss
"""


@pytest.mark.parametrize("output", [IPUTILS_SILENCE, BUSYBOX_SILENCE])
def test_a_ping_that_heard_nothing_is_silence(output: str) -> None:
    with pytest.raises(TimeoutError):
        read_program(output)


IPUTILS_FORBIDDEN = """\
ping: socktype: SOCK_RAW
ping: socket: Operation not permitted
ping: => missing cap_net_raw+p capability or setuid?
"""
BUSYBOX_FORBIDDEN = """\
PING 127.0.0.1 (127.0.0.1): 56 data bytes
ping: permission denied (are you root?)
"""


@pytest.mark.parametrize(
    ("output", "last_line"),
    [
        (IPUTILS_FORBIDDEN, "ping: => missing cap_net_raw"),
        (BUSYBOX_FORBIDDEN, "are you root"),
        ("ping: unknown host\n", "unknown host"),
        ("ping: invalid option -- 'n'\n", "invalid option"),
        ("", "^$"),
    ],
)
def test_a_ping_that_sent_nothing_says_nothing_of_the_host(output: str, last_line: str) -> None:
    with pytest.raises(NotAvailableError, match=last_line):
        read_program(output)


@pytest.fixture
def typed_ahead() -> Iterator[None]:
    """Something to read on standard input, as where this process was started from a pipe."""
    kept = os.dup(0)
    reader, writer = os.pipe()
    os.write(writer, b"hunter3")
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    yield
    os.dup2(kept, 0)
    os.close(kept)


@pytest.mark.usefixtures("typed_ahead")
def test_the_program_is_given_one_address_and_nothing_else_of_ours(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_SECRET", "hunter2")
    write_ping(
        bin_folder,
        f'printf "%s\\n" "$*" > {tmp_path}/arguments; env > {tmp_path}/environment; cat > {tmp_path}/input\n'
        f"cat <<'END'\n{IPUTILS}END",
    )

    latency_ms = echo_by_program(LOOPBACK, 5)

    assert latency_ms == 0.037
    assert (tmp_path / "arguments").read_text() == "-n -c 1 127.0.0.1\n"
    assert "LC_ALL=C" in (tmp_path / "environment").read_text()
    assert "hunter2" not in (tmp_path / "environment").read_text()
    assert (tmp_path / "input").read_text() == ""


@needs_ipv6
def test_ipv6_has_a_program_of_its_own_where_there_is_one(bin_folder: Path) -> None:
    write_ping(bin_folder, "echo '64 bytes from ::1: icmp_seq=1 ttl=64 time=1 ms'")
    write_ping(bin_folder, "echo '16 bytes from ::1, icmp_seq=0 hlim=64 time=6 ms'", names=["ping6"])

    assert echo_by_program(Address(socket.AF_INET6, ("::1", 443, 0, 0)), 5) == 6
    assert echo_by_program(LOOPBACK, 5) == 1


def test_a_program_that_hangs_is_ended_at_the_timeout(bin_folder: Path, tmp_path: Path) -> None:
    write_ping(bin_folder, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        echo_by_program(LOOPBACK, 0.4)

    assert 0.4 <= time.monotonic() - started < 1.5
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_system_without_the_program_cannot_ask_with_it(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("ping", path="/usr/sbin:/sbin"):
        pytest.skip("here ping is where it is looked for in any case")
    monkeypatch.setenv("PATH", str(bin_folder))

    with pytest.raises(NotAvailableError, match="No such file"):
        echo_by_program(LOOPBACK, 1)


def test_a_host_that_accepts_or_refuses_a_connection_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(socket.AF_INET, server.getsockname())
        assert 0 < echo_by_tcp(address, 1) < 500

    assert 0 < echo_by_tcp(address, 1) < 500  # nobody listens there any more


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue drops connections on Linux")
def test_a_connection_that_nothing_answers_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        started = time.monotonic()

        with pytest.raises(TimeoutError):
            echo_by_tcp(Address(socket.AF_INET, server.getsockname()), 0.3)

        assert 0.3 <= time.monotonic() - started < 1.0
        for one in waiting:
            one.close()


ASK_AS_NOBODY = """
listener = socket.create_server(("127.0.0.1", 4430))
nobody()
answer = ping.ask("localhost", count=1, timeout_seconds=5, tcp_port=4430)
print(json.dumps([answer.method, answer.received, answer.latency_ms]))
"""


def test_without_the_right_to_icmp_the_program_is_asked(bin_folder: Path) -> None:
    write_ping(bin_folder, "echo '64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=12.3 ms'")

    assert said_in_own_network(ASK_AS_NOBODY, path=str(bin_folder)) == ["ping", 1, 12.3]


def test_where_the_program_may_not_either_tcp_is_tried(bin_folder: Path) -> None:
    write_ping(bin_folder, "echo 'ping: socket: Operation not permitted' >&2; exit 2")

    method, received, latency_ms = said_in_own_network(ASK_AS_NOBODY, path=str(bin_folder))

    assert (method, received) == ("tcp", 1)
    assert 0 < latency_ms < 500


def test_what_the_program_says_of_the_host_is_the_answer(bin_folder: Path) -> None:
    write_ping(bin_folder, "echo 'ping: connect: Network is unreachable' >&2; exit 2")

    assert said_in_own_network(ASK_AS_NOBODY, path=str(bin_folder)) == ["ping", 0, None]


def test_a_process_that_is_out_of_sockets_blames_no_host() -> None:
    program = """
import resource, sys
from tasks.check.readings import ping
kept = [open("/dev/null")]
resource.setrlimit(resource.RLIMIT_NOFILE, (kept[0].fileno() + 1,) * 2)
try:
    print(ping.ask("127.0.0.1", count=1, timeout_seconds=1, tcp_port=1))
except ping.NotAvailableError as error:
    print("not available:", error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "not available: Too many open files\n"


def test_without_ipv6_its_addresses_are_unreachable(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel that was started with ipv6.disable=1.
    def unsupported(*_: object, **__: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", unsupported)
    write_ping(bin_folder, "echo 'ping: socket: Address family not supported by protocol' >&2; exit 2")

    answer = ask("::1", count=1, timeout_seconds=1, tcp_port=1)

    assert (answer.is_reachable, answer.reason) == (False, "Address family not supported by protocol")
