from datetime import UTC, datetime
from typing import Any

import pytest

from storage.records import AlertView, ChannelConfig, IncidentView
from storage.vocabulary import AlertStatus, IncidentStatus, NotificationReason, Severity
from tasks.check.evidence import snapshot
from tasks.notify.channels import build, email_message
from tasks.notify.host_section import host_facts, host_lines
from tasks.notify.message import MAX_LINE_CHARS, Notification, compose

BEGAN = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)
EVIDENCE: dict[str, Any] = {
    "hostname": "web-01",
    "measured_at": "2026-03-01T02:14:05+00:00",
    "load_averages": [3.2, 2.9, 2.51],
    "cpu_count": 2,
    "uptime_seconds": 86_400,
    "memory": {"used_percent": 91.0, "total_gb": 15.62, "used_gb": 14.2, "available_gb": 1.4},
    "swap": {"used_percent": 40.4, "total_gb": 2.0, "used_gb": 0.8},
    "disks": [
        {"path": "/", "used_percent": 96.2, "inodes_percent": 12.0, "total_gb": 80.0, "free_gb": 3.04},
        {"path": "/var", "used_percent": 41.0, "inodes_percent": 92.6, "total_gb": 80.0, "free_gb": 47.2},
        {"path": "/boot", "used_percent": 20.0, "inodes_percent": None, "total_gb": 1.0, "free_gb": 0.8},
        {"path": "/home", "used_percent": 10.0, "inodes_percent": 3.0, "total_gb": 80.0, "free_gb": 72.0},
    ],
    "cpu": {"busy_percent": 80.4, "iowait_percent": 12.0, "steal_percent": 0.5},
    "network": [
        {"name": "eth0", "received_bytes_per_second": 12_345_678, "sent_bytes_per_second": 3_210_000},
        {"name": "eth1", "received_bytes_per_second": 950, "sent_bytes_per_second": 0},
        {"name": "eth2", "received_bytes_per_second": 0, "sent_bytes_per_second": 0},
    ],
    "processes": {
        "by_cpu": [
            {"pid": 812, "name": "postgres", "cpu_percent": 182, "rss_mb": 512.0},
            {"pid": 99, "name": "java", "cpu_percent": 4, "rss_mb": 6246.4},
            {"pid": 7, "name": "sshd", "cpu_percent": 1, "rss_mb": 9.0},
        ],
        "by_memory": [
            {"pid": 99, "name": "java", "cpu_percent": 4, "rss_mb": 6246.4},
            {"pid": 812, "name": "postgres", "cpu_percent": 182, "rss_mb": 512.0},
        ],
        "seen": 212,
        "is_complete": True,
    },
}


def alert(status: AlertStatus = AlertStatus.FIRING, **labels: str) -> AlertView:
    return AlertView(
        id=1,
        source="generic",
        fingerprint="f",
        name="HighLoad",
        status=status,
        severity=Severity.CRITICAL,
        description="",
        labels=labels,
        annotations={},
        started_at=BEGAN,
        ended_at=None,
    )


def message(evidence: dict[str, Any], *alerts: AlertView, hostname: str = "web-01") -> Notification:
    incident = IncidentView(
        id=7,
        title="HighLoad",
        status=IncidentStatus.OPEN,
        severity=Severity.CRITICAL,
        description="",
        episode=1,
        started_at=BEGAN,
        resolved_at=None,
        environment="",
        alert_count=len(alerts),
        firing_alert_count=len(alerts),
        severity_counts={},
        truncated_alerts=0,
        alerts=list(alerts),
    )
    return compose(
        incident=incident,
        reason=NotificationReason.FIRING,
        checks=[],
        hostname=hostname,
        evidence=evidence,
        analysis=None,
        links={},
        trace_id="trace-1",
        run_id="run-1",
        channel="ops",
        idempotency_key="9f1c",
    )


def heading(*alerts: AlertView, hostname: str = "web-01") -> str:
    return host_lines(EVIDENCE, alerts, hostname=hostname)[0]


def part(**parts: Any) -> list[str]:
    return host_facts({name: EVIDENCE[name] | part for name, part in parts.items()})


def test_the_state_of_the_affected_host_reads_as_a_whole() -> None:
    lines = host_lines(EVIDENCE, [alert(instance="web-01:9100")], hostname="web-01")

    assert lines == [
        "Host state of web-01, measured by Watchkeeper at 2026-03-01 02:14 UTC:",
        (
            "- load 3.2 2.9 2.51 on 2 cores, 80 % busy, 12 % waiting for disks; "
            "memory 91 % of 15.6 GiB, swap 40 % of 2.0 GiB"
        ),
        "- disks / 96 % (3.0 GiB free), /var 41 % (47.2 GiB free, inodes 93 %), /boot 20 % (0.8 GiB free)",
        (
            "- busiest postgres (pid 812) 182 % of a core; "
            "largest java (pid 99) 6.1 GiB, postgres (pid 812) 512 MiB"
        ),
        "- network eth0 12 MB/s in, 3.2 MB/s out, eth1 950 B/s in, 0 B/s out",
    ]


def test_another_hosts_incident_is_not_explained_by_our_own_state() -> None:
    others = [alert(host=f"db-{number}") for number in range(3, 7)]

    assert heading(others[0]) == (
        "Nothing was measured on db-3: the readings are of web-01, Watchkeeper's own host at 2026-03-01 02:14 UTC."
    )
    assert heading(alert(host="web-01"), others[0]).startswith("Nothing was measured on db-3:")
    assert heading(*others).startswith("Nothing was measured on db-3, db-4, db-5 and others:")
    assert heading(alert(instance="10.0.0.5:9100")).endswith("UTC. It may not be 10.0.0.5:")
    assert heading(alert()).endswith("UTC. The alert names no host:")
    assert heading().endswith("UTC. The alert names no host:")


def test_only_where_it_still_burns_counts_unless_all_is_over() -> None:
    over = alert(status=AlertStatus.RESOLVED, host="db-3")

    assert heading(over, alert(host="web-01")).startswith("Host state of web-01, measured by Watchkeeper")
    assert heading(over).startswith("Nothing was measured on db-3:")


def test_a_host_that_is_called_something_else_on_its_checks_is_known_by_both_names() -> None:
    for name in ("shop", "web-01"):
        assert heading(alert(host=name), hostname="shop") == (
            "Host state of shop, measured by Watchkeeper at 2026-03-01 02:14 UTC:"
        )
    assert heading(alert(host="db-3"), alert(host="web-01"), hostname="shop").startswith(
        "Nothing was measured on db-3:"
    )


@pytest.mark.parametrize(
    ("bytes_per_second", "text"),
    [
        (0, "0 B/s"),
        (999, "999 B/s"),
        (1_000, "1.0 kB/s"),
        (9_949, "9.9 kB/s"),
        (12_000, "12 kB/s"),
        (999_600, "1.0 MB/s"),
        (12_345_678, "12 MB/s"),
        (1_250_000_000, "1.2 GB/s"),
        (12_500_000_000_000, "12500 GB/s"),
    ],
)
def test_rates_read_like_speech(bytes_per_second: int, text: str) -> None:
    counts = {"name": "eth0", "received_bytes_per_second": bytes_per_second, "sent_bytes_per_second": 0}

    assert host_facts({"network": [counts]}) == [f"network eth0 {text} in, 0 B/s out"]


def test_a_process_that_does_nothing_is_not_called_busy() -> None:
    idle = [{"pid": 7, "name": "sshd", "cpu_percent": 0, "rss_mb": 9.0}]

    assert part(processes={"by_cpu": idle, "by_memory": idle}) == ["largest sshd (pid 7) 9 MiB"]


def test_that_not_all_processes_were_seen_is_said() -> None:
    [line] = part(processes={"seen": 15_000, "is_complete": False})

    assert line.endswith("; of 15,000 processes, there are more")


def test_a_host_without_swap_has_nothing_to_say_of_it() -> None:
    assert part(memory={}, swap={"total_gb": 0.0}) == ["memory 91 % of 15.6 GiB"]


def test_time_that_other_guests_took_is_said() -> None:
    evidence = {"load_averages": [0.5], "cpu_count": 1, "cpu": {"busy_percent": 9.9, "steal_percent": 30.2}}

    assert host_facts(evidence) == ["load 0.5 on 1 core, 10 % busy, 30 % taken by other guests"]


@pytest.mark.parametrize("name", EVIDENCE)
def test_a_part_that_is_missing_or_odd_costs_nothing_but_its_own_words(name: str) -> None:
    whole = host_lines(EVIDENCE, [], hostname="web-01")

    for changed in ({}, {name: None}, {name: [None]}, {name: "odd"}, {name: 7}, {name: {"a": "b"}}):
        evidence = {key: value for key, value in EVIDENCE.items() if key != name} | changed

        assert len(host_lines(evidence, [], hostname="web-01")) >= len(whole) - 1


def test_what_could_not_be_read_is_said() -> None:
    assert host_facts({"errors": ["swap: a", "/mnt did not answer", "c", "d"]}) == [
        "could not be read: swap: a; /mnt did not answer; c"
    ]


def test_without_evidence_there_is_no_section() -> None:
    assert host_lines({}, [alert(host="web-01")], hostname="web-01") == []
    assert "Host state" not in message({}, alert(host="web-01")).message


def test_a_real_snapshot_fills_every_line() -> None:
    evidence = snapshot()

    lines = host_lines(evidence, [alert(host=evidence["hostname"])], hostname="")

    beginnings = ["Host state of", "- load", "- disks /", "- "]
    assert all(line.startswith(start) for line, start in zip(lines, beginnings, strict=False))
    assert len(lines) in (4, 5)
    assert "largest" in lines[3]


def test_the_message_has_the_section_and_the_context_the_snapshot() -> None:
    said = message(EVIDENCE, alert(host="web-01"))

    section = said.message.split("\n\n")[-2]
    assert section.splitlines() == host_lines(EVIDENCE, [alert(host="web-01")], hostname="web-01")
    assert said.context["evidence"] == EVIDENCE


def test_a_secret_in_a_name_is_hidden_in_message_and_context() -> None:
    thief = {"pid": 5, "name": "password=hunter2", "cpu_percent": 50, "rss_mb": 10.0}
    evidence = EVIDENCE | {
        "processes": {"by_cpu": [thief], "by_memory": [thief]},
        "errors": ["https://ann:hunter2@a.example/ did not answer"],
    }

    said = message(evidence, alert(host="web-01"))

    assert "busiest password=*** (pid 5) 50 % of a core" in said.message
    assert "hunter2" not in said.model_dump_json()


@pytest.mark.parametrize("odd", ["a\nBcc: b", "a\u2028b\u202ec", "a\x1b[31mb", "x" * 5_000])
def test_a_name_cannot_leave_its_line(odd: str) -> None:
    process = {"pid": 5, "name": odd, "cpu_percent": 50, "rss_mb": 10.0}
    evidence = EVIDENCE | {"processes": {"by_cpu": [process], "by_memory": [process]}, "hostname": odd}

    section = message(evidence, alert(), hostname=odd).message.split("\n\n")[-2]

    assert len(section.splitlines()) == 5
    assert all(line.isprintable() and len(line) <= MAX_LINE_CHARS for line in section.splitlines())


def test_a_mail_shows_the_section_as_lines_and_never_as_markup() -> None:
    process = {"pid": 5, "name": "<b>x</b>", "cpu_percent": 50, "rss_mb": 10.0}
    evidence = EVIDENCE | {"processes": {"by_cpu": [process], "by_memory": [process]}}
    config = {"smtp_host": "a.example", "from_address": "w@a.example", "to_addresses": ["o@a.example"]}
    driver: Any = build(ChannelConfig(id=1, name="mail", driver="email", config=config))

    mail = email_message.build(driver.build_mail(message(evidence, alert(host="web-01"))))

    lines = host_lines(evidence, [alert(host="web-01")], hostname="web-01")
    assert "\n".join(lines) in mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    page = mail.get_body(("html",)).get_content().replace("\r\n", "\n")
    assert "busiest &lt;b&gt;x&lt;/b&gt; (pid 5)" in page
    assert "<b>" not in page
    [attachment] = mail.iter_attachments()
    assert b'"evidence": {' in attachment.get_content()
