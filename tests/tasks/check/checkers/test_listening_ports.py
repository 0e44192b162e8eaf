import json
import socket
import struct
import subprocess
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import in_own_network
from pydantic import ValidationError

from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.listening_ports import ListeningPorts, Port, allows, exposed

needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="compares with /proc/net")

# psutil's own shapes.
Addr = namedtuple("Addr", "ip port")  # noqa: PYI024
Sconn = namedtuple("Sconn", "fd family type laddr raddr status pid")  # noqa: PYI024


def tcp(ip: str, port: int, *, status: str = "LISTEN", pid: int | None = 7) -> Sconn:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return Sconn(3, family, socket.SOCK_STREAM, Addr(ip, port), (), status, pid)


def udp(ip: str, port: int, *, raddr: Any = ()) -> Sconn:
    return Sconn(3, socket.AF_INET, socket.SOCK_DGRAM, Addr(ip, port), raddr, "NONE", 7)


def measured(config: dict[str, Any], prelude: str = "") -> CheckResult:
    """A result from a network of its own, which nobody can reach, whatever `prelude` (Python) opens there."""
    program = f"""
import json, os, socket, subprocess, sys
from tasks.check.checkers.listening_ports import ListeningPorts
checker = ListeningPorts(ListeningPorts.Config.model_validate(json.loads(sys.argv[1])))
{prelude}
print(checker.measure().model_dump_json())
"""
    return CheckResult.model_validate_json(in_own_network(program, json.dumps(config)))


def kernels_ports() -> set[str]:
    """Ports on which this host listens beyond loopback, as /proc/net has them."""
    ports = set()
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for _, local, _, state, *_ in map(str.split, lines):
            address, port = local.split(":")
            # Words of 32 bits in the processor's order; ::1 is three empty ones and a one.
            words = [struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)]
            packed = b"".join(words)
            is_loopback = packed[:1] == b"\x7f" if len(packed) == 4 else packed == b"\x00" * 15 + b"\x01"
            is_mapped_loopback = packed[:13] == b"\x00" * 10 + b"\xff\xff\x7f"
            if state == "0A" and not is_loopback and not is_mapped_loopback:
                ports.add(f"{int(port, 16)}/tcp")
    return ports


@needs_proc
def test_the_ports_are_those_of_the_kernels_own_table() -> None:
    before = kernels_ports()
    result = ListeningPorts(ListeningPorts.Config(allowed=[])).measure()
    after = kernels_ports()

    found = {reading.target for reading in result.readings}
    assert before & after <= found <= before | after


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_a_port_on_loopback_is_open_to_nobody_else(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"this host has no {address}: {error}")
        server.listen()
        result = ListeningPorts(ListeningPorts.Config(allowed=[])).measure()

        assert f"{server.getsockname()[1]}/tcp" not in {reading.target for reading in result.readings}


OPEN = """
subprocess.run(["ip", "addr", "add", "192.0.2.9/32", "dev", "lo"], check=True)
kept = [
    socket.create_server(("0.0.0.0", 8080)),
    socket.create_server(("192.0.2.9", 8443)),
    socket.create_server(("127.0.0.1", 5432)),
]
"""


def test_each_open_port_is_a_reading_of_its_own_with_its_process(tmp_path: Path) -> None:
    who = f"open('{tmp_path}/who', 'w').write(f\"{{os.getpid()}} {{open('/proc/self/comm').read()}}\")"

    result = measured({"allowed": []}, f"{OPEN}\n{who}")

    pid, name = int((tmp_path / "who").read_text().split()[0]), (tmp_path / "who").read_text().split()[1]
    assert result.status is CheckStatus.WARNING
    assert [(reading.target, reading.message) for reading in result.readings] == [
        (
            "8080/tcp",
            f"port 8080/tcp is open to others on 0.0.0.0 ({name}, pid {pid}), not on the allowlist",
        ),
        (
            "8443/tcp",
            f"port 8443/tcp is open to others on 192.0.2.9 ({name}, pid {pid}), not on the allowlist",
        ),
    ]
    assert result.metrics == {
        "exposed": [
            {
                "port": 8080,
                "protocol": "tcp",
                "addresses": ["0.0.0.0"],
                "processes": [{"pid": pid, "name": name}],
            },
            {
                "port": 8443,
                "protocol": "tcp",
                "addresses": ["192.0.2.9"],
                "processes": [{"pid": pid, "name": name}],
            },
        ],
        "exposed_count": 2,
        "allowed_count": 0,
    }


def test_allowed_ports_are_no_readings() -> None:
    result = measured({"allowed": [8080, "8400-8499/tcp"]}, OPEN)

    assert (result.status, result.message) == (
        CheckStatus.OK,
        "ports open to others: 2, all on the allowlist",
    )
    assert result.readings == []
    assert result.metrics == {"exposed": [], "exposed_count": 0, "allowed_count": 2}


def test_the_config_says_how_bad_an_open_port_is() -> None:
    result = measured({"allowed": [8080], "status": "critical"}, OPEN)

    assert [(reading.target, reading.status) for reading in result.readings] == [("8443/tcp", "critical")]
    assert result.status is CheckStatus.CRITICAL


def test_both_kinds_of_address_make_one_reading() -> None:
    prelude = """
kept = [socket.create_server(("0.0.0.0", 8080)), socket.socket(socket.AF_INET6)]
kept[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
kept[1].bind(("::", 8080))
kept[1].listen()
"""
    result = measured({"allowed": []}, prelude)

    assert [reading.target for reading in result.readings] == ["8080/tcp"]
    assert " on 0.0.0.0 and :: (python" in result.message


UDP = """
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 514))
client = socket.socket(type=socket.SOCK_DGRAM)
client.bind(("0.0.0.0", 5353))
client.connect(("127.0.0.1", 53))
"""


def test_udp_counts_when_asked_for_and_a_connected_client_never() -> None:
    assert measured({"allowed": []}, UDP).readings == []
    assert [reading.target for reading in measured({"allowed": [], "include_udp": True}, UDP).readings] == [
        "514/udp"
    ]


def test_a_process_of_somebody_else_is_not_named() -> None:
    prelude = f"""{OPEN}
if os.fork():
    sys.exit(os.wait()[1])
[one.close() for one in kept]
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
"""
    result = measured({"allowed": [8443]}, prelude)

    assert result.message == (
        "port 8080/tcp is open to others on 0.0.0.0 (its process cannot be seen), not on the allowlist"
    )
    assert result.metrics["exposed"][0]["processes"] == []


def test_a_process_without_a_decent_name_does_not_spoil_the_result() -> None:
    prelude = f"{OPEN}\nopen('/proc/self/comm', 'wb').write(b'wk\\n\\xff')"

    result = measured({"allowed": [8443]}, prelude)

    assert result.metrics["exposed"][0]["processes"][0]["name"] == "wk??"


def test_a_process_that_has_ended_meanwhile_leaves_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(psutil, "net_connections", lambda **_: [tcp("0.0.0.0", 80, pid=ended.pid)])

    result = ListeningPorts(ListeningPorts.Config(allowed=[])).measure()

    assert f"on 0.0.0.0 (?, pid {ended.pid}), not" in result.message


def test_of_many_addresses_and_processes_the_first_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    no_pid = 2**22  # more than Linux gives
    seen = [tcp(f"192.0.2.{number}", 80, pid=no_pid + number) for number in range(1, 9)]
    monkeypatch.setattr(psutil, "net_connections", lambda **_: seen)

    result = ListeningPorts(ListeningPorts.Config(allowed=[])).measure()

    assert " and 192.0.2.5 and 3 more (" in result.message
    assert f" and ?, pid {no_pid + 5} and 3 more), not" in result.message
    [exposed_port] = result.metrics["exposed"]
    assert (len(exposed_port["addresses"]), len(exposed_port["processes"])) == (6, 5)


def test_very_many_ports_are_told_of_in_one_more_reading() -> None:
    prelude = "kept = [socket.create_server(('0.0.0.0', port)) for port in range(9000, 9060)]"

    result = measured({"allowed": [9059]}, prelude)

    assert len(result.readings) == 51
    assert [reading.target for reading in result.readings][49:] == ["9049/tcp", ""]
    assert result.readings[-1].message == "9 more ports are open to others, not on the allowlist"
    assert (len(result.metrics["exposed"]), result.metrics["exposed_count"]) == (50, 59)


def test_without_an_allowlist_the_ports_are_only_listed() -> None:
    program = f"""{OPEN}
from tasks.check.checks import run_checkers
[result] = run_checkers([checker])
print(result.model_dump_json())
sys.exit()
"""
    result = measured({}, program)

    assert result.status is CheckStatus.SKIPPED
    assert result.message == "no allowlist is set (config key allowed); open to others now: 8080/tcp, 8443/tcp"


def test_without_an_allowlist_and_without_ports_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_connections", lambda **_: [])

    with pytest.raises(NotApplicableError, match="open to others now: nothing"):
        ListeningPorts(ListeningPorts.Config()).measure()


def test_a_system_that_shows_the_ports_to_root_only_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> list[Any]:
        raise psutil.AccessDenied(pid=1)  # as macOS answers an ordinary user

    monkeypatch.setattr(psutil, "net_connections", denied)

    with pytest.raises(PermissionError, match="only root may see the ports"):
        ListeningPorts(ListeningPorts.Config(allowed=[])).measure()


@pytest.mark.parametrize(
    ("socket_seen", "ports"),
    [
        (tcp("0.0.0.0", 22), ["22/tcp"]),
        (tcp("192.0.2.2", 22), ["22/tcp"]),
        (tcp("::", 22), ["22/tcp"]),
        (tcp("fe80::fc:ff:fe00:1", 22), ["22/tcp"]),
        (tcp("fe80::1%lo0", 22), ["22/tcp"]),
        (tcp("172.17.0.1", 22), ["22/tcp"]),
        (tcp("::ffff:192.0.2.2", 22), ["22/tcp"]),
        (tcp("127.0.0.1", 22), []),
        (tcp("127.255.255.254", 22), []),
        (tcp("::1", 22), []),
        (tcp("::ffff:127.0.0.1", 22), []),
        (tcp("192.0.2.2", 22, status="ESTABLISHED"), []),
        (tcp("192.0.2.2", 22, status="TIME_WAIT", pid=None), []),
        (udp("0.0.0.0", 53), ["53/udp"]),
        (udp("127.0.0.53", 53), []),
        (udp("192.0.2.2", 40000, raddr=Addr("192.0.2.1", 53)), []),
    ],
)
def test_what_others_can_reach_is_exposed(socket_seen: Sconn, ports: list[str]) -> None:
    assert list(map(str, exposed([socket_seen], include_udp=True))) == ports


def test_several_sockets_of_a_port_are_put_together_in_order() -> None:
    seen = [
        tcp("::", 443, pid=9),
        tcp("0.0.0.0", 443, pid=8),
        tcp("0.0.0.0", 443, pid=9),
        tcp("0.0.0.0", 80, pid=None),
    ]

    ports = exposed(seen, include_udp=False)

    assert list(ports) == [Port(80, "tcp"), Port(443, "tcp")]
    assert (ports[Port(443, "tcp")].addresses, ports[Port(443, "tcp")].pids) == (["0.0.0.0", "::"], [8, 9])
    assert ports[Port(80, "tcp")].pids == []


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        (22, ["22/tcp", "22/udp"], ["21/tcp", "23/tcp", "220/tcp", "2/tcp"]),
        ("22", ["22/tcp", "22/udp"], ["23/tcp"]),
        ("22/tcp", ["22/tcp"], ["22/udp"]),
        ("53/udp", ["53/udp"], ["53/tcp"]),
        ("6000-6010", ["6000/tcp", "6010/udp"], ["5999/tcp", "6011/tcp"]),
        ("6000-6010/tcp", ["6005/tcp"], ["6005/udp"]),
        ("1-65535", ["1/tcp", "65535/tcp"], []),
    ],
)
def test_an_entry_allows_its_ports_and_no_others(entry: int | str, allowed: list[str], refused: list[str]) -> None:
    entries = ListeningPorts.Config.model_validate({"allowed": [entry]}).allowed
    assert entries is not None

    def verdicts(ports: list[str]) -> list[bool]:
        return [allows(entries, Port(int(number), protocol)) for number, protocol in (p.split("/") for p in ports)]

    assert all(verdicts(allowed))
    assert not any(verdicts(refused))


def test_an_empty_allowlist_allows_nothing() -> None:
    assert not allows([], Port(22, "tcp"))


@pytest.mark.parametrize(
    "entry",
    [
        *(0, -1, 65536, 22.0, True, None, {}),
        *(
            "",
            "ssh",
            "22/sctp",
            "22/TCP",
            "22/",
            "tcp/22",
            "0",
            "70000",
            "30-20",
            "0-5",
            "22 ",
            "22\n",
            "-5",
            "5-",
        ),
        "\u0662\u0662",
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused_by_its_place(entry: Any) -> None:
    with pytest.raises(ValidationError, match="PORT or FROM-TO") as refusal:
        ListeningPorts.Config.model_validate({"allowed": [80, entry]})

    assert [error["loc"] for error in refusal.value.errors()] == [("allowed", 1)]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"allowed": 22}, "allowed"),
        ({"status": "unknown"}, "status"),
        ({"warning_threshold": 1}, "warning_threshold"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused_by_name(config: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        ListeningPorts.Config.model_validate(config)


def test_a_config_can_be_stored_and_read_again() -> None:
    config = ListeningPorts.Config.model_validate({"allowed": [22, "6000-6010/tcp"]})

    assert ListeningPorts.Config.model_validate_json(config.model_dump_json()) == config
