import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from storage.records import Analysis, CheckResult, IncidentView
from storage.vocabulary import CheckStatus
from tasks.analyze.providers.local import SCAN_PATHS, Local
from tasks.analyze.request import AnalysisRequest
from tasks.check import apart
from tasks.check.checkers.disk_common import PATHS, DiskCommon
from tasks.check.checks import build_checkers
from tests.hung_mount import hung_mount
from tests.local_requests import alert, analyze, check, incident
from tests.trees import MIB, allocate

NOW = "2026-09-14T03:05:00+00:00"
EVIDENCE = {"hostname": "hub", "measured_at": NOW}
METRICS: dict[str, Any] = {
    "total_recoverable_mb": 5120.0,
    "places": [
        {"path": "/tmp", "size_mb": 100.0, "recoverable_mb": 0.0},
        {"path": "/var/tmp", "size_mb": 400.0, "recoverable_mb": 20.0},
        {"path": "/var/log", "size_mb": 6144.0, "recoverable_mb": 5100.0},
    ],
    "large_files": [
        {"path": "/var/log/huge.log", "size_mb": 4096.0, "modified_at": "2026-09-14T03:00:00+00:00"},
        {"path": "/var/log/big.log", "size_mb": 300.0, "modified_at": "2026-09-13T03:00:00+00:00"},
        {"path": "/var/log/third.log", "size_mb": 200.0, "modified_at": "2026-09-13T03:00:00+00:00"},
    ],
    "old_files": [{"path": "/var/log/x.1", "size_mb": 900.0, "modified_at": "2026-07-14T03:00:00+00:00"}],
    "old_files_count": 1234,
    "old_files_mb": 2048.0,
    "scan_cut_by": [],
    "denied": 0,
}
FOUND = check("disk_common", CheckStatus.OK, "5,120 MB recoverable", **METRICS)


def ask(
    about: IncidentView | None = None, *, checks: tuple[CheckResult, ...] = (), hostname: str = "", **config: Any
) -> Analysis:
    evidence = {"hostname": hostname} if hostname else {}
    request = AnalysisRequest(incident=about, checks=list(checks), evidence=evidence)
    return Local(Local.Config(**config)).analyze(request)


def test_a_scan_names_large_and_old_files_and_what_could_go(tmp_path: Path) -> None:
    allocate(tmp_path / "log/new.log", 3 * MIB, days_old=2.1)
    allocate(tmp_path / "log/old.log", 2 * MIB, days_old=20.1)
    allocate(tmp_path / "elsewhere", 9 * MIB)
    (tmp_path / "log/link").symlink_to(tmp_path / "elsewhere")

    paths = [str(tmp_path / "log"), "/no/such"]
    analysis = ask(scan=True, scan_paths=paths, large_file_threshold_mb=2.5, old_file_days=19)

    (advice,) = analysis.recommendations
    space = advice.details["space"]
    assert (advice.type, advice.priority) == ("disk", "low")
    assert f"Could be deleted: 2 MB of 5 MB in {tmp_path}/log." in advice.description
    assert f"Largest: {tmp_path}/log/new.log (3 MB, unchanged for 2 days)." in advice.description
    assert (
        f"1 old files hold 2 MB, the largest: {tmp_path}/log/old.log (2 MB, unchanged for 20 days)."
        in advice.description
    )
    assert [file["path"] for file in space["large_files"]] == [f"{tmp_path}/log/new.log"]
    assert [(file["path"], file["age_days"]) for file in space["old_files"]] == [(f"{tmp_path}/log/old.log", 20)]
    assert space["recoverable_mb"] == 2
    assert any(f"du -xah {tmp_path}/log/" in action for action in advice.actions)
    assert analysis.confidence is None
    assert analysis.probable_cause == ""
    assert analysis.summary.startswith("The one check on ")


def test_a_scan_that_was_cut_short_says_so() -> None:
    part = check("disk_common", CheckStatus.OK, "0 MB, scan stopped after 5 s", scan_cut_by=["seconds"])

    (advice,) = analyze(None, part).recommendations

    assert "scan stopped after 5 s" in advice.description
    assert advice.details["space"]["cut_short_by"] == ["seconds"]


def test_a_hung_mount_does_not_hang_the_answer_and_is_named(tmp_path: Path) -> None:
    allocate(tmp_path / "a", 2 * MIB)
    with hung_mount() as path:
        started = time.monotonic()

        analysis = ask(
            scan=True, scan_paths=[str(tmp_path), str(path)], scan_seconds=0.2, large_file_threshold_mb=1
        )

        assert time.monotonic() - started < 10
    text = analysis.recommendations[0].description
    assert f"{path} did not answer within" in text
    assert f"Largest: {tmp_path}/a" in text


def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes each scan, and lets none happen."""
    calls: list[int] = []

    def measure(*_: Any, **__: Any) -> apart.Measured:
        calls.append(1)
        return apart.Measured(results=[FOUND], evidence=EVIDENCE)

    monkeypatch.setattr(apart, "measure", measure)
    return calls


@pytest.mark.parametrize(
    ("about", "hostname", "scan", "times"),
    [
        (None, "", False, 0),
        (None, "hub", True, 1),
        (incident(alert("DiskFull", host="hub")), "hub", True, 1),
        (incident(alert("DiskFull", host="hub")), "hub", False, 0),
        (incident(alert("HighMemory", host="hub")), "hub", True, 0),
        (incident(alert("DiskFull", host="web-1")), "hub", True, 0),
        (incident(alert("DiskFull")), "hub", True, 0),
        (incident(alert("DiskFull", host="hub")), "", True, 0),
    ],
)
def test_only_an_answer_about_this_hosts_disks_scans_and_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, about: IncidentView | None, hostname: str, *, scan: bool, times: int
) -> None:
    calls = scanned(monkeypatch)

    ask(about, hostname=hostname, scan=scan)

    assert len(calls) == times


def test_a_scan_takes_the_place_of_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned(monkeypatch)
    stale = check("disk_common", CheckStatus.CRITICAL, "stale")

    analysis = ask(scan=True, checks=(stale, check("cpu", CheckStatus.OK)))

    assert "stale" not in analysis.model_dump_json()
    assert (
        analysis.summary == "All 2 checks on hub are within their thresholds: cpu reading; 5,120 MB recoverable."
    )
    assert (analysis.probable_cause, analysis.confidence) == ("", None)


def test_a_scan_leaves_the_snapshot_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned(monkeypatch)

    assert ask(scan=True, hostname="lab").summary.startswith("The one check on lab ")


def test_what_a_configured_checker_found_is_told_without_a_scan() -> None:
    analysis = analyze(None, FOUND, evidence=EVIDENCE)

    assert analysis.recommendations[0].description == (
        "On hub: 5,120 MB recoverable. "
        "Could be deleted: 5.0 GB of 6.0 GB in /var/log, 20 MB of 400 MB in /var/tmp. "
        "Largest: /var/log/huge.log (4.0 GB, written today), /var/log/big.log (300 MB, unchanged for 1 day). "
        "1,234 old files hold 2.0 GB, the largest: /var/log/x.1 (900 MB, unchanged for 62 days)."
    )


def test_commands_look_into_the_folders_with_most_to_delete() -> None:
    actions = analyze(None, FOUND, evidence=EVIDENCE).recommendations[0].actions

    assert [action.split()[2] for action in actions if action.startswith("du ")] == ["/var/log/", "/var/tmp/"]


def test_without_a_time_of_the_readings_a_file_has_its_date() -> None:
    analysis = analyze(None, FOUND, evidence={})

    assert "/var/log/x.1 (900 MB, last written 2026-07-14)" in analysis.recommendations[0].description


def test_what_could_not_be_looked_at_is_said() -> None:
    denied = FOUND.model_copy(update={"metrics": METRICS | {"denied": 1200}})

    (advice,) = analyze(None, denied).recommendations

    assert "1,200 files or folders could not be looked at." in advice.description
    assert advice.details["space"]["not_readable"] == 1200


@pytest.mark.parametrize(
    ("metrics", "is_told"),
    [
        ({"total_recoverable_mb": 99.0}, False),
        ({"total_recoverable_mb": 100.0}, True),
        ({"old_files_mb": 100.0}, True),
        ({"large_files": METRICS["large_files"]}, True),
        ({"scan_cut_by": ["seconds"]}, True),
    ],
)
def test_little_to_delete_is_not_worth_a_word(metrics: dict[str, Any], *, is_told: bool) -> None:
    analysis = analyze(None, check("disk_common", CheckStatus.OK, **metrics))

    assert bool(analysis.recommendations) is is_told


def test_an_incident_about_this_hosts_disk_is_told_what_could_go() -> None:
    full = check("disk", CheckStatus.CRITICAL, "/ 97 % full")

    titles = [each.title for each in analyze(incident(alert("DiskFull", host="hub")), full, FOUND).recommendations]

    assert titles == [
        "Find what fills the disk on hub",
        "See what could be deleted of logs, caches and temporary files on hub",
    ]


@pytest.mark.parametrize("about", [alert("DiskFull", host="web-1"), alert("HighMemory", host="hub")])
def test_no_other_incident_is(about: Any) -> None:
    advice = analyze(incident(about), check("memory", CheckStatus.CRITICAL), FOUND).recommendations

    assert not any("could be deleted" in each.title for each in advice)


def test_what_the_checker_refuses_is_refused_in_the_config_and_the_rest_is_taken() -> None:
    assert SCAN_PATHS == PATHS
    for paths in (["relative"], ["/a\x00b"], [], ["~user/x"]):
        with pytest.raises(ValidationError, match="scan_paths"):
            Local.Config(scan_paths=paths)
        with pytest.raises(ValidationError, match="paths"):
            DiskCommon.Config(paths=paths)
    for paths in (["/"], ["~"], ["~/x"], ["/a b"] * 20):
        assert DiskCommon.Config(paths=Local.Config(scan_paths=paths).scan_paths)


@pytest.mark.parametrize(
    "config",
    [
        {"large_file_threshold_mb": 0},
        {"large_file_threshold_mb": float("inf")},
        {"old_file_days": 0},
        {"scan_seconds": 0},
        {"scan_seconds": 301},
        {"top_n_processes": 0},
    ],
)
def test_a_wrong_config_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(config))):
        Local.Config(**config)


def test_the_largest_config_is_one_that_the_checker_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def measure(names: list[str], configs: dict[str, Any]) -> apart.Measured:
        built.extend(build_checkers(names, configs))
        return apart.Measured(results=[], evidence={})

    monkeypatch.setattr(apart, "measure", measure)

    ask(scan=True, scan_seconds=300, old_file_days=36_500, scan_paths=["/a"] * 20)

    assert built[0].config.max_seconds == 300
    assert built[0].config.timeout == 302
