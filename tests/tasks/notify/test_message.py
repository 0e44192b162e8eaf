import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from storage.records import (
    AlertView,
    Analysis,
    CheckResult,
    IncidentAnalysis,
    IncidentView,
    Recommendation,
)
from storage.vocabulary import (
    AlertStatus,
    CheckStatus,
    FailureKind,
    IncidentStatus,
    NotificationReason,
    RecommendationPriority,
    RecommendationType,
    Severity,
)
from tasks.hosts import host_of
from tasks.notify.message import (
    MAX_MESSAGE_CHARS,
    MAX_TITLE_CHARS,
    Notification,
    compose,
    humanize_duration,
    shorten,
)

BEGAN = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)


def make_alert(**values):
    defaults = {
        "id": 1,
        "source": "alertmanager",
        "fingerprint": "f00",
        "name": "FilesystemAlmostFull",
        "status": AlertStatus.FIRING,
        "severity": Severity.CRITICAL,
        "description": "Only 3 % left on /var.",
        "labels": {"instance": "db-03.lan:9100"},
        "annotations": {},
        "started_at": BEGAN,
        "ended_at": None,
    }
    return AlertView(**(defaults | values))


def make_incident(*alerts, **values):
    defaults = {
        "id": 7,
        "title": "FilesystemAlmostFull",
        "status": IncidentStatus.OPEN,
        "severity": Severity.CRITICAL,
        "description": "",
        "episode": 1,
        "started_at": BEGAN,
        "resolved_at": None,
        "environment": "production",
        "alert_count": len(alerts),
        "firing_alert_count": sum(alert.status is AlertStatus.FIRING for alert in alerts),
        "severity_counts": {"critical": len(alerts)},
        "truncated_alerts": 0,
        "alerts": list(alerts),
    }
    return IncidentView(**(defaults | values))


def make_analysis(*, fallback_used=False, instead_of="", failure=None, **values):
    return IncidentAnalysis(
        incident_id=7,
        provider="local",
        fallback_used=fallback_used,
        ai_output_ref="analysis:1",
        analysis=Analysis(summary="The disk fills up.", **values),
        instead_of=instead_of,
        failure=failure,
    )


def say(incident, **values):
    defaults = {
        "reason": NotificationReason.FIRING,
        "checks": [],
        "hostname": "watch-01",
        "evidence": {},
        "analysis": None,
        "links": {},
        "trace_id": "trace-1",
        "run_id": "run-1",
        "channel": "ops",
        "idempotency_key": "9f1c",
    }
    return compose(incident=incident, **(defaults | values))


def resolved_incident(*alerts, minutes=82):
    return make_incident(
        *alerts,
        status=IncidentStatus.RESOLVED,
        resolved_at=BEGAN + timedelta(minutes=minutes),
        firing_alert_count=0,
    )


def test_a_firing_title_says_what_where_and_how_bad():
    notification = say(make_incident(make_alert(), make_alert(id=2)))

    assert notification.title == "[FIRING] critical: FilesystemAlmostFull on db-03.lan (+1 more)"
    assert notification.severity == "critical"


def test_a_resolved_title_says_how_long_it_lasted_and_reads_as_success():
    notification = say(resolved_incident(make_alert()), reason=NotificationReason.RESOLVED)

    assert notification.title == "[RESOLVED after 1 h 22 min] critical: FilesystemAlmostFull on db-03.lan"
    assert notification.severity == "success"
    assert notification.message.startswith("Resolved at 2026-03-01 03:35 UTC, after 1 h 22 min.")


def test_the_title_is_that_of_the_worst_alert_that_still_fires():
    over = make_alert(id=1, name="Over", status=AlertStatus.RESOLVED)
    mild = make_alert(id=2, name="Mild", severity=Severity.INFO)
    bad = make_alert(id=3, name="Bad", severity=Severity.WARNING)

    assert say(make_incident(over, mild, bad)).title == "[FIRING] critical: Bad on db-03.lan (+1 more)"


def test_an_incident_without_alerts_goes_by_its_own_title():
    notification = say(make_incident(title="disk on watch-01", description="Disk is full."))

    assert notification.title == "[FIRING] critical: disk on watch-01"
    assert "Disk is full." in notification.message


def test_a_firing_message_reads_as_a_whole():
    annotations = {"runbook_url": "https://wiki.example/disk", "generator_url": "https://prom.example/g"}
    first = make_alert(annotations=annotations)
    second = make_alert(
        id=2, name="InodesLow", severity=Severity.WARNING, labels={"host": "db-04"}, description=""
    )
    incident = make_incident(
        first, second, alert_count=14, severity_counts={"warning": 13, "critical": 1}, truncated_alerts=37
    )
    advice = Recommendation(
        type=RecommendationType.DISK,
        priority=RecommendationPriority.HIGH,
        title="Free space",
        description="Logs have grown.",
        actions=["journalctl --vacuum-size=1G"],
    )
    checks = [
        CheckResult(checker_name="cpu", status=CheckStatus.OK, message="12 % used"),
        CheckResult(checker_name="disk", status=CheckStatus.CRITICAL, message="97 % used"),
        CheckResult(checker_name="raid", status=CheckStatus.SKIPPED, message="no array"),
    ]
    evidence = {
        "hostname": "watch-01",
        "measured_at": "2026-03-01T02:14:05+00:00",
        "memory": {"used_percent": 41.0, "total_gb": 15.62},
    }

    notification = say(
        incident,
        checks=checks,
        evidence=evidence,
        analysis=make_analysis(
            probable_cause="Log growth.", confidence=0.82, recommendations=[advice], model_name="m-1"
        ),
        links={"run": "https://watch.example/run/1"},
    )

    assert notification.message == (
        "Firing since 2026-03-01 02:13 UTC.\n"
        "\n"
        "Hosts: db-03.lan, db-04\n"
        "Severity: critical\n"
        "Environment: production\n"
        "Incident: #7 FilesystemAlmostFull\n"
        "\n"
        "Only 3 % left on /var.\n"
        "\n"
        "Alerts: 14 (1 critical, 13 warning), 2 firing\n"
        "- critical FilesystemAlmostFull on db-03.lan: Only 3 % left on /var.\n"
        "- warning InodesLow on db-04\n"
        "… and 12 more\n"
        "37 more were cut by the sender\n"
        "\n"
        "Analysis by m-1:\n"
        "The disk fills up.\n"
        "Probable cause: Log growth. (confidence 82%)\n"
        "Recommended actions:\n"
        "- [high] Free space: Logs have grown.\n"
        "  - journalctl --vacuum-size=1G\n"
        "\n"
        "Checks on watch-01:\n"
        "- disk on watch-01: critical, 97 % used\n"
        "- 1 is ok\n"
        "\n"
        "run: https://watch.example/run/1\n"
        "Runbook: https://wiki.example/disk\n"
        "Source: https://prom.example/g\n"
        "\n"
        "Trace: trace-1"
    )


@pytest.mark.parametrize(
    ("known", "links", "heading"),
    [
        ({}, {}, "AI analysis unavailable. The local rules say:"),
        ({"instead_of": "openai"}, {}, "AI analysis unavailable (openai). The local rules say:"),
        (
            {"instead_of": "grok", "failure": FailureKind.UNFIT_REPLY},
            {"run": "https://watch.example/run/1"},
            (
                "AI analysis unavailable (grok): its reply did not fit (more under the link to the run). "
                "The local rules say:"
            ),
        ),
    ],
)
def test_the_fallback_says_who_gave_no_answer_and_why_and_where_to_look(known, links, heading):
    analysis = make_analysis(fallback_used=True, **known)

    notification = say(make_incident(make_alert()), analysis=analysis, links=links)

    assert f"\n{heading}\nThe disk fills up." in notification.message
    assert all(f"\nrun: {url}" in notification.message for url in links.values())


def test_every_kind_of_failure_has_words_of_its_own():
    assert len({kind.told for kind in FailureKind}) == len(FailureKind)


def test_that_another_host_was_not_measured_is_one_line_unless_the_rules_said_it():
    incident = make_incident(make_alert(labels={"instance": "db-03.lan:9100"}))
    evidence = {"hostname": "watch-01", "memory": {"used_percent": 41.0, "total_gb": 15.62}}
    by_rules = make_analysis(probable_cause="Log growth.")
    by_ai = by_rules.model_copy(update={"provider": "openai"})

    told = [say(incident, evidence=evidence, analysis=each).message for each in (None, by_ai, by_rules)]

    line = "\n\nNothing was measured on db-03.lan: the readings are of watch-01, Watchkeeper's own host.\n\n"
    assert [line in message for message in told] == [True, True, False]
    assert not any("memory" in message for message in told)


def test_an_analysis_by_the_chosen_provider_is_not_called_unavailable():
    notification = say(make_incident(make_alert()), analysis=make_analysis())

    assert "unavailable" not in notification.message


def test_firing_that_is_over_by_the_time_of_writing_says_so():
    notification = say(resolved_incident(make_alert(status=AlertStatus.RESOLVED)))

    assert notification.title.startswith("[FIRING] ")
    assert notification.message.startswith(
        "Began to fire at 2026-03-01 02:13 UTC, and was over at 2026-03-01 03:35 UTC."
    )


def test_checks_that_do_not_apply_to_the_host_are_in_the_context_only():
    checks = [CheckResult(checker_name="raid", status=CheckStatus.SKIPPED, message="no array")] * 30

    notification = say(make_incident(make_alert()), checks=checks)

    assert "raid" not in notification.message
    assert "Checks" not in notification.message
    assert [check["status"] for check in notification.context["checks"]] == ["skipped"] * 30


def test_the_context_is_the_incident_as_json():
    alerts = [make_alert(id=number) for number in range(30)]
    check = CheckResult(
        checker_name="disk", status=CheckStatus.OK, message="", metrics={"used_percent": float("nan")}
    )

    context = say(make_incident(*alerts), checks=[check], links={"run": "https://watch.example/1"}).context

    assert list(context) == ["incident", "alerts", "checks", "evidence", "analysis", "links", "trace_id", "run_id"]
    assert (context["incident"]["id"], context["incident"]["episode"]) == (7, 1)
    assert len(context["alerts"]) == 20
    assert context["checks"][0]["hostname"] == "watch-01"
    assert context["checks"][0]["metrics"] == {"used_percent": None}
    assert context["links"] == {"run": "https://watch.example/1"}
    json.dumps(context, allow_nan=False)


def test_tags_tell_what_it_is_about():
    assert say(make_incident(make_alert())).tags == {
        "incident_id": "7",
        "episode": "1",
        "reason": "firing",
        "severity": "critical",
        "environment": "production",
        "alert": "FilesystemAlmostFull",
        "host": "db-03.lan",
        "source": "alertmanager",
    }


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({"instance": "db-03.lan:9100", "host": "x"}, "db-03.lan"),
        ({"instance": "db-03.lan"}, "db-03.lan"),
        ({"instance": "[2001:db8::1]:9100"}, "2001:db8::1"),
        ({"instance": "2001:db8::1"}, "2001:db8::1"),
        ({"instance": "https://a.example:8443/x"}, "https://a.example:8443/x"),
        ({"instance": "", "host": "a", "hostname": "b"}, "a"),
        ({"hostname": "b"}, "b"),
        ({}, ""),
    ],
)
def test_the_host_of_an_alert(labels, host):
    assert host_of(labels) == host


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (45.9, "45 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (4920, "1 h 22 min"),
        (86_400, "1 d"),
        (86_460, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_read_like_speech(seconds, text):
    assert humanize_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    "nasty", ["a\r\nBcc: x@y.example", "a\u2028b", "a\x00b\x1b[31m", "a\u202eb\u2066c", "a\x85b"]
)
def test_titles_are_one_clean_line(nasty):
    alert = make_alert(name=nasty, labels={"host": nasty})

    for title in (say(make_incident(alert)).title, say(make_incident(title=nasty)).title):
        assert title.isprintable()
        assert "  " not in title


def test_a_notification_made_elsewhere_has_a_clean_title_too():
    notification = Notification(
        reason="firing",
        title="a\r\nb" * 200,
        message="c\x00\rd",
        severity="info",
        channel="x",
        idempotency_key="k",
    )

    assert notification.title.isprintable()
    assert len(notification.title) == MAX_TITLE_CHARS
    assert notification.message == "c \nd"


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "a\n", "ü", "a" * 201])
def test_a_key_that_is_unfit_for_a_header_is_refused(key):
    with pytest.raises(ValidationError):
        Notification(reason="firing", title="a", message="b", severity="info", channel="x", idempotency_key=key)


def test_long_texts_are_cut_visibly_and_the_trace_survives():
    huge = "x" * 100_000
    alerts = [
        make_alert(
            id=n, name=huge, description=huge, labels={f"{huge}{i}": huge for i in range(9)} | {"host": huge}
        )
        for n in range(30)
    ]
    checks = [CheckResult(checker_name=huge, status=CheckStatus.OK, message=huge)] * 60

    notification = say(make_incident(*alerts, title=huge, environment=huge), checks=checks, links={huge: huge})

    assert len(notification.title) <= MAX_TITLE_CHARS
    assert notification.title.endswith("(+29 more)")
    assert len(notification.message) <= MAX_MESSAGE_CHARS + 100
    assert "characters]" in notification.message
    assert notification.message.endswith("Trace: trace-1")
    assert len(json.dumps(notification.context)) < 3_000_000


def test_what_is_cut_off_is_counted():
    assert shorten("a" * 100, 30) == "a" * 11 + "… [+89 characters]"
    assert shorten("a" * 30, 30) == "a" * 30


def test_secrets_that_an_alert_carries_are_hidden_everywhere():
    labels = {"host": "db", "api_token": "hunter2", "url": "https://ann:hunter2@a.example/"}
    description = "x" * 980 + " see https://ann:hunter2-and-more-of-it@a.example/ with password=hunter2"
    alert = make_alert(labels=labels, description=description, annotations={"runbook_url": labels["url"]})

    notification = say(
        make_incident(alert, title="token=hunter2"),
        checks=[CheckResult(checker_name="disk", status=CheckStatus.OK, message="password=hunter2")],
        analysis=make_analysis(probable_cause="password=hunter2"),
    )

    assert "hunter2" not in notification.model_dump_json()


def test_links_are_listed_once_each():
    annotations = {"runbook_url": "https://wiki.example/a", "dashboard_url": "https://graf.example/d"}
    other = {"runbook_url": "https://wiki.example/b", "dashboard_url": "https://graf.example/d"}
    alerts = [make_alert(annotations=annotations), make_alert(id=2, annotations=other)]

    assert say(make_incident(*alerts)).context["links"] == {
        "Runbook": "https://wiki.example/a",
        "Dashboard": "https://graf.example/d",
        "Runbook 2": "https://wiki.example/b",
    }
