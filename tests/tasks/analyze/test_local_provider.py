import re
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from storage.records import Reading
from storage.vocabulary import AlertStatus, CheckStatus, IncidentStatus, RecommendationPriority, Severity
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.local import Local
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.rules.finding import Support
from tasks.hosts import Origin
from tests.local_requests import EVIDENCE, alert, analyze, check, incident, own_alert, read, texts

HUB_PROCESSES = re.compile("hubdb|hubcrunch|4242|777")


FULL_DISK = check(
    "disk",
    CheckStatus.CRITICAL,
    "/ 97.0 % full, 3.0 GB free (critical at 95 %)",
    worst_path="/",
).model_copy(
    update={
        "readings": [
            Reading(
                target="/",
                status=CheckStatus.CRITICAL,
                held=CheckStatus.CRITICAL,
                message="/ 97.0 % full, 3.0 GB free (critical at 95 %)",
            ),
            Reading(target="/srv", status=CheckStatus.OK, held=CheckStatus.OK, message="/srv 41.0 % full"),
        ]
    }
)
HIGH_MEMORY = check("memory", CheckStatus.CRITICAL, "Memory 96.0 % used (critical at 95 %)")
BUSY_CPU = check("cpu", CheckStatus.WARNING, "CPU 88.0 % busy (warning at 80 %)")


@pytest.mark.parametrize(
    ("name", "description", "labels", "topic"),
    [
        ("FilesystemAlmostFull", "", {"instance": "db-03.lan:9100"}, "disk"),
        ("NodeInodesRunningOut", "", {}, "disk"),
        ("Root volume at 96 %", "", {}, "disk"),
        ("Low free space on /var", "", {}, "disk"),
        ("HighCPU", "", {}, "cpu"),
        ("HighCPUs on the build farm", "", {}, "cpu"),
        ("CPU saturation", "", {"instance": "web-02"}, "cpu"),
        ("node_load5 above 12", "", {}, "cpu"),
        ("OOMKilled", "", {}, "memory"),
        ("kube-pod-oomkilled", "", {}, "memory"),
        ("NodeRAMAlmostFull", "", {}, "memory"),
        ("HostSwapIsFillingUp", "", {}, "memory"),
        ("Swap space low", "", {}, "memory"),
        ("High memory utilization (>90% for 5m)", "", {}, "memory"),
        ("ProcessHighCPU", "", {}, "cpu"),
        ("KubePodCrashLooping", "", {}, "process"),
        ("nginx service is down", "", {}, "process"),
        ("SystemdUnitFailed", "", {}, "process"),
        ("Packet loss to the office", "", {}, "network"),
        ("LoadBalancerDown", "", {}, "network"),
        ("InstanceDown", "", {"instance": "web-02:9100"}, "network"),
        ("WorkloadDegraded", "", {}, "general"),
        ("NamespaceQuotaExceeded", "", {}, "general"),
        ("Slow page load", "", {}, "general"),
        ("Certificate expires in 3 days", "", {}, "general"),
        ("Диск полон", "", {}, "general"),
        ("Checkout p95 latency", "the processors of pay-01 are saturated", {}, "cpu"),
        ("Threshold crossed", "", {"metric": "mem_used_percent"}, "memory"),
        ("CPU hot on storage-01", "", {"instance": "storage-01.lan:9100"}, "cpu"),
        ("Checkout slow", "", {"team": "storage", "job": "cpu"}, "general"),
        ("disk check", "/ 97 % full", {"host": "hub", "checker": "disk"}, "disk"),
        ("Latency", "see https://wiki.lan/disk/memory", {}, "general"),
    ],
)
def test_the_kind_of_problem_is_told_by_whole_words(
    name: str, description: str, labels: dict[str, str], topic: str
) -> None:
    analysis = analyze(incident(alert(name, description, **labels)), evidence={})

    assert analysis.recommendations[0].type == topic


@pytest.mark.parametrize(
    ("labels", "origin"),
    [
        ({"instance": "hub:9100"}, Origin.AFFECTED_HOST),
        ({"instance": "HUB.lan:9100"}, Origin.AFFECTED_HOST),
        ({"host": "hub"}, Origin.AFFECTED_HOST),
        ({"hostname": "hub", "instance": "10.0.0.5:9100"}, Origin.AFFECTED_HOST),
        ({"instance": "https://hub:8443/health"}, Origin.AFFECTED_HOST),
        ({"instance": "web-01.lan:9100"}, Origin.OTHER_HOST),
        ({"instance": "hub2:9100"}, Origin.OTHER_HOST),
        ({"instance": "10.0.0.5:9100"}, Origin.UNCLEAR),
        ({"instance": "[2001:db8::1]:9100"}, Origin.UNCLEAR),
        ({"instance": "localhost:9100"}, Origin.UNCLEAR),
        ({}, Origin.UNCLEAR),
    ],
)
def test_readings_belong_to_the_alert_only_if_its_labels_name_the_same_host(
    labels: dict[str, str], origin: Origin
) -> None:
    request = AnalysisRequest(incident=incident(alert("HighCPU", **labels)), evidence=EVIDENCE)

    assert request.origin is origin


def test_two_hosts_with_one_short_name_in_different_domains_are_not_the_same() -> None:
    about = incident(alert("HighCPU", instance="hub.berlin.lan:9100"))

    request = AnalysisRequest(incident=about, evidence={"hostname": "hub.paris.lan"})

    assert request.origin is Origin.OTHER_HOST


def test_no_evidence_is_said_to_be_none() -> None:
    analysis = analyze(incident(alert("HighCPU", host="hub")), evidence={})

    assert "No readings came with it." in analysis.probable_cause
    assert analysis.confidence == Support.WORDS_ONLY.value


def test_memory_over_its_threshold_on_the_same_host_names_the_largest_process() -> None:
    analysis = analyze(incident(alert("HighMemory", host="hub")), HIGH_MEMORY)

    assert analysis.summary == ("HighMemory: critical. Measured on hub: Memory 96.0 % used (critical at 95 %).")
    assert "hubdb (pid 4242, 4100 MB)" in analysis.probable_cause
    assert analysis.confidence == 0.8
    assert analysis.recommendations[0].details["processes"][0]["pid"] == 4242
    assert any("ps -o" in action and "4242" in action for action in analysis.recommendations[0].actions)


def test_a_busy_cpu_on_the_same_host_names_load_and_processes() -> None:
    analysis = analyze(incident(alert("HighCPU", host="hub")), BUSY_CPU)

    assert "Load averages 8.1, 7.2, 5" in analysis.probable_cause
    assert "Most of the work is that of hubcrunch (pid 777, 182 % of a core)." in analysis.probable_cause


def test_a_snapshot_of_an_older_version_names_no_busy_process() -> None:
    old = EVIDENCE | {"processes": {"by_cpu": [{"pid": 777, "name": "hubcrunch", "cpu_seconds": 9000.0}]}}

    analysis = analyze(incident(alert("HighCPU", host="hub")), BUSY_CPU, evidence=old)

    assert "Load averages 8.1, 7.2, 5 on 2 cores." in analysis.probable_cause


def test_a_full_disk_on_the_same_host_names_every_disk_over_the_threshold_and_no_other() -> None:
    analysis = analyze(incident(alert("DiskFull", host="hub")), FULL_DISK)

    assert "/ 97.0 % full, 3.0 GB free" in analysis.probable_cause
    assert list(analysis.recommendations[0].details["disks"]) == ["/"]


def test_a_mount_point_is_judged_by_the_worst_check_that_read_it() -> None:
    inodes = check("disk_inodes", CheckStatus.WARNING).model_copy(
        update={
            "readings": [
                Reading(
                    target="/srv",
                    status=CheckStatus.WARNING,
                    held=CheckStatus.WARNING,
                    message="/srv 85.0 % of inodes used, 12 free",
                )
            ]
        }
    )
    about = incident(alert("FilesystemAlmostFull", host="hub", mountpoint="/srv"))

    analysis = analyze(about, FULL_DISK, inodes)

    assert "/srv 85.0 % of inodes used" in analysis.probable_cause
    assert analysis.confidence == 0.8


def test_an_alert_about_another_host_never_blames_a_process_of_our_own() -> None:
    about = incident(alert("HighMemory", instance="web-01.lan:9100"))

    analysis = analyze(about, HIGH_MEMORY, FULL_DISK, BUSY_CPU)

    assert not HUB_PROCESSES.search(texts(analysis))
    assert "Nothing was measured on web-01.lan" in analysis.probable_cause
    assert "Watchkeeper's own host hub" in analysis.probable_cause
    assert len(analysis.recommendations) == 1
    assert analysis.recommendations[0].actions[0].startswith("ssh web-01.lan ")
    assert analysis.confidence == 0.3


@pytest.mark.parametrize("labels", [{}, {"instance": "10.0.0.5:9100"}, {"instance": "localhost:9100"}])
def test_an_alert_whose_host_cannot_be_told_never_blames_a_process_of_our_own(labels: dict[str, str]) -> None:
    analysis = analyze(incident(alert("HighMemory", **labels)), HIGH_MEMORY)

    assert not HUB_PROCESSES.search(texts(analysis))
    assert "Watchkeeper's own host hub, which may not be" in analysis.probable_cause


def test_an_incident_of_our_own_and_another_host_counts_as_another_hosts() -> None:
    about = incident(alert("HighMemory", host="hub"), alert("HighMemory", host="web-01"))

    analysis = analyze(about, HIGH_MEMORY)

    assert not HUB_PROCESSES.search(texts(analysis))
    assert "Nothing was measured on web-01:" in analysis.probable_cause


def test_resolved_alerts_of_another_host_do_not_hide_readings_of_the_firing_one() -> None:
    about = incident(
        alert("HighMemory", host="hub"), alert("HighMemory", status=AlertStatus.RESOLVED, host="web-01")
    )

    assert analyze(about, HIGH_MEMORY).confidence == 0.8


def test_a_normal_reading_of_the_same_host_speaks_against_the_words() -> None:
    calm = check("memory", CheckStatus.OK, "Memory 34.0 % used")

    analysis = analyze(incident(alert("HighMemory", host="hub")), calm)

    assert analysis.summary.endswith("Not seen on hub now: Memory 34.0 % used.")
    assert "what hub reads of it now is normal" in analysis.probable_cause
    assert analysis.recommendations[0].title == "Check whether it is over on hub"
    assert analysis.recommendations[0].priority == "medium"
    assert analysis.confidence == 0.2


def test_a_check_that_could_not_measure_neither_confirms_nor_contradicts() -> None:
    broken = check("memory", CheckStatus.UNKNOWN, "timed out after 10 s")

    analysis = analyze(incident(alert("HighMemory", host="hub")), broken)

    assert "timed out after 10 s" in analysis.probable_cause
    assert analysis.confidence == 0.4


def test_words_that_say_nothing_give_way_to_what_the_same_host_reads() -> None:
    analysis = analyze(incident(alert("SiteSlow", host="hub")), HIGH_MEMORY)

    assert analysis.recommendations[0].type == "memory"
    assert "words name no resource, but on the same host" in analysis.probable_cause
    assert analysis.confidence == 0.5


def test_words_that_say_nothing_about_another_host_get_the_lowest_confidence() -> None:
    analysis = analyze(incident(alert("SiteSlow", host="web-01")), HIGH_MEMORY)

    assert analysis.recommendations[0].type == "general"
    assert analysis.confidence == 0.1


def test_whatever_else_is_over_a_threshold_on_the_same_host_is_recommended_after_it() -> None:
    analysis = analyze(incident(alert("HighCPU", host="hub")), BUSY_CPU, FULL_DISK)

    assert [item.type for item in analysis.recommendations] == ["cpu", "disk"]


def test_what_else_is_over_a_threshold_takes_its_priority_from_its_check() -> None:
    analysis = analyze(incident(alert("HighMemory", host="hub")), HIGH_MEMORY, BUSY_CPU)

    assert [item.priority for item in analysis.recommendations] == ["critical", "high"]


def test_the_alerts_mount_point_is_judged_by_its_own_reading_and_not_by_a_fuller_disk() -> None:
    analysis = analyze(incident(alert("FilesystemAlmostFull", host="hub", mountpoint="/srv")), FULL_DISK)

    assert analysis.summary.endswith("Not seen on hub now: /srv 41.0 % full.")


def test_a_mount_point_that_was_not_read_is_not_judged_by_another_disk() -> None:
    analysis = analyze(incident(alert("FilesystemAlmostFull", host="hub", mountpoint="/backup")), FULL_DISK)

    assert analysis.confidence == 0.4
    assert analysis.recommendations[1].details["disks"].keys() == {"/"}


def test_commands_quote_a_mount_point_and_leave_out_a_host_that_is_no_name() -> None:
    about = incident(alert("DiskFull", mountpoint="/srv/a b; rm -rf /", host="$(reboot)"))

    actions = analyze(about).recommendations[0].actions

    assert "df -h '/srv/a b; rm -rf /'; df -i '/srv/a b; rm -rf /'" in actions[0]
    assert not any("reboot" in action for action in actions)


@pytest.mark.parametrize(
    ("severity", "priority"), [("critical", "critical"), ("warning", "high"), ("info", "medium")]
)
def test_priority_follows_the_incidents_severity(severity: str, priority: str) -> None:
    analysis = analyze(incident(alert("HighCPU"), severity=Severity(severity)))

    assert analysis.recommendations[0].priority == priority


def test_a_resolved_incident_is_said_to_be_resolved_and_not_urgent() -> None:
    about = incident(
        alert("HighCPU", status=AlertStatus.RESOLVED, host="hub"),
        status=IncidentStatus.RESOLVED,
        resolved_at=datetime(2026, 9, 14, 3, 20, tzinfo=UTC),
    )

    analysis = analyze(about, check("cpu", CheckStatus.OK, "CPU 3.0 % busy"))

    assert analysis.summary == "HighCPU is resolved since 2026-09-14 03:20 UTC. Nothing is urgent."
    assert analysis.recommendations[0].priority is RecommendationPriority.LOW
    assert analysis.confidence == 0.3


def test_without_an_incident_the_worst_check_comes_first() -> None:
    analysis = analyze(None, check("memory", CheckStatus.OK), BUSY_CPU, FULL_DISK)

    assert analysis.summary == (
        "Of 3 checks on hub, 2 are over a threshold: "
        "/ 97.0 % full, 3.0 GB free (critical at 95 %); CPU 88.0 % busy (warning at 80 %)."
    )
    assert [(item.type, item.priority) for item in analysis.recommendations] == [
        ("disk", "critical"),
        ("cpu", "high"),
    ]


def test_without_an_incident_or_a_host_name_bad_checks_still_count() -> None:
    analysis = analyze(None, FULL_DISK, evidence={})

    assert analysis.recommendations[0].type == "disk"


def test_without_an_incident_good_checks_need_nothing() -> None:
    analysis = analyze(None, check("memory", CheckStatus.OK), check("cpu", CheckStatus.OK))

    assert analysis.summary == ("All 2 checks on hub are within their thresholds: memory reading; cpu reading.")
    assert analysis.recommendations == []
    assert analysis.confidence is None


def test_without_an_incident_a_check_that_could_not_measure_is_named() -> None:
    analysis = analyze(None, check("memory", CheckStatus.OK), check("disk", CheckStatus.UNKNOWN, "timed out"))

    assert analysis.summary == "Of 2 checks on hub, 1 could not measure: timed out."
    assert analysis.confidence == 0.1


def test_without_anything_it_says_so() -> None:
    assert analyze(None, evidence={}).summary.startswith("There was nothing to analyse")


def test_every_recommendation_tells_its_incident_and_what_to_type() -> None:
    analysis = analyze(incident(alert("HighCPU", host="hub")), BUSY_CPU, FULL_DISK)

    assert all(item.incident_id == 7 and item.actions and item.title for item in analysis.recommendations)


def test_the_same_request_gives_the_same_answer() -> None:
    about = incident(alert("HighMemory", host="hub"), alert("DiskFull", host="hub"))

    assert analyze(about, HIGH_MEMORY, FULL_DISK) == analyze(about, HIGH_MEMORY, FULL_DISK)


def test_an_incident_without_alerts_is_answered_by_its_title() -> None:
    assert analyze(incident(title="Disk full")).recommendations[0].type == "disk"


def test_a_long_title_over_several_lines_becomes_one_short_line() -> None:
    summary = analyze(incident(alert("HighCPU\n" * 200))).summary

    assert "\n" not in summary
    assert len(summary) < 400


def test_details_hold_at_most_as_many_processes_as_configured() -> None:
    evidence = EVIDENCE | {"processes": {"by_memory": EVIDENCE["processes"]["by_memory"] * 5}}
    request = AnalysisRequest(
        incident=incident(alert("HighMemory", host="hub")), checks=[HIGH_MEMORY], evidence=evidence
    )

    analysis = Local(Local.Config(top_n_processes=2)).analyze(request)

    assert len(analysis.recommendations[0].details["processes"]) == 2


def test_an_unknown_config_key_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="top_processes"):
        PROVIDERS["local"].Config.model_validate({"top_processes": 3})


def test_the_registry_names_each_provider_by_its_kind() -> None:
    assert {name: provider.kind for name, provider in PROVIDERS.items()} == {name: name for name in PROVIDERS}


@pytest.mark.parametrize(
    ("checker", "target", "message"),
    [
        ("certificate", "shop.example.org:443", "shop.example.org:443 expires in 3 days"),
        ("raid", "md0", "md0 is degraded: 1 of 2 devices"),
        ("process", "", "keycloak does not run"),
        ("disk_inodes", "/srv", "/srv 97.0 % of inodes used, 12 free"),
    ],
)
def test_an_alert_of_our_own_is_answered_by_that_checkers_reading_and_no_other(
    checker: str, target: str, message: str
) -> None:
    own = read(checker, CheckStatus.CRITICAL, target, message)

    analysis = analyze(incident(own_alert(checker, target)), FULL_DISK, HIGH_MEMORY, own)

    assert analysis.probable_cause.startswith(f"On hub: {message}.")
    assert analysis.confidence == 0.8


def test_commands_about_an_alert_of_our_own_name_its_own_path() -> None:
    own = read("disk", CheckStatus.CRITICAL, "/data", "/data 99.0 % full")

    analysis = analyze(incident(own_alert("disk", "/data")), own)

    assert "df -h /data" in analysis.recommendations[0].actions[0]


def test_an_alert_of_our_own_whose_check_could_not_be_made_is_not_confirmed() -> None:
    silent = read("disk", CheckStatus.UNKNOWN, "/nfs", "/nfs did not answer within 9 s")

    analysis = analyze(incident(own_alert("disk", "/nfs")), silent, FULL_DISK)

    assert "On hub: /nfs did not answer within 9 s." in analysis.probable_cause
    assert analysis.confidence == 0.4
