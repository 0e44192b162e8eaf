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
    News,
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


def test_alerts_that_would_read_the_same_are_told_apart_by_their_labels() -> None:
    queues = [make_alert(description="", labels={"host": "q1", "team": "x", "q": q}) for q in ("mail", "jobs")]

    lines = say(make_incident(*queues)).message.splitlines()

    assert [line for line in lines if line.startswith("- ")] == [
        "- critical FilesystemAlmostFull on q1 (q=mail)",
        "- critical FilesystemAlmostFull on q1 (q=jobs)",
    ]


def test_firing_that_is_over_by_the_time_of_writing_says_so():
    notification = say(resolved_incident(make_alert(status=AlertStatus.RESOLVED)))

    assert notification.title.startswith("[WAS FIRING, over at 2026-03-01 03:35 UTC] critical: ")
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


NOW = BEGAN + timedelta(hours=4, seconds=30)
FIRING, RESOLVED = NotificationReason.FIRING, NotificationReason.RESOLVED
ACKNOWLEDGED, ESCALATED = NotificationReason.ACKNOWLEDGED, NotificationReason.ESCALATED
REMINDER, UPDATED = NotificationReason.REMINDER, NotificationReason.UPDATED


def acknowledged_incident(*alerts, **values):
    given = {
        "status": IncidentStatus.ACKNOWLEDGED,
        "acknowledged_by": "ana",
        "acknowledged_at": BEGAN + timedelta(minutes=7),
    }
    return make_incident(*alerts, **(given | values))


def first_lines(notification):
    return notification.message.split("\n\nHost")[0]


def test_acknowledgement_says_by_whom_and_when_and_that_it_still_fires():
    notification = say(acknowledged_incident(make_alert()), reason=ACKNOWLEDGED)

    assert notification.title == "[ACKNOWLEDGED] critical: FilesystemAlmostFull on db-03.lan"
    assert first_lines(notification) == (
        "Acknowledged by ana at 2026-03-01 02:20 UTC. It still fires, since 2026-03-01 02:13 UTC."
    )
    assert notification.severity == "critical"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"status": IncidentStatus.OPEN, "acknowledged_by": "", "acknowledged_at": None},
            "Acknowledged. It is open again. It still fires, since 2026-03-01 02:13 UTC.",
        ),
        (
            {"status": IncidentStatus.RESOLVED, "resolved_at": BEGAN + timedelta(minutes=9)},
            "Acknowledged by ana at 2026-03-01 02:20 UTC. It was over at 2026-03-01 02:22 UTC.",
        ),
    ],
    ids=["taken back", "over"],
)
def test_acknowledgement_that_is_told_late_says_what_has_become_of_it(values, said):
    notification = say(acknowledged_incident(make_alert(), **values), reason=ACKNOWLEDGED)

    assert first_lines(notification) == said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ended_by": "ana"}, "Resolved by ana at 2026-03-01 03:35 UTC, after 1 h 22 min. It began at"),
        ({"ended_by": ""}, "Resolved at 2026-03-01 03:35 UTC, after 1 h 22 min. It began at"),
        (
            {"resolved_at": None, "closed_at": BEGAN + timedelta(minutes=82), "ended_by": "bo"},
            "Closed by bo at 2026-03-01 03:35 UTC, after 1 h 22 min. It began at",
        ),
    ],
    ids=["a person", "its alerts", "closed"],
)
def test_resolution_says_who_ended_it(values, said):
    incident = resolved_incident(make_alert()).model_copy(update=values)

    notification = say(incident, reason=RESOLVED)

    assert first_lines(notification) == f"{said} 2026-03-01 02:13 UTC."
    assert notification.title.startswith("[RESOLVED after 1 h 22 min] ")


def test_resolution_brings_the_summary_that_somebody_wrote():
    incident = resolved_incident(make_alert()).model_copy(
        update={"closing_summary": "Logs rotated.\r\nToken=hunter2"}
    )

    message = say(incident, reason=RESOLVED).message

    assert "\nSummary: Logs rotated.\nToken=***\n" in message


def test_escalation_says_to_what_and_which_alert_got_worse():
    alert = make_alert()
    news = News(at=NOW, level=Severity.CRITICAL, raised=alert, raised_from=Severity.WARNING)

    notification = say(make_incident(alert, make_alert(id=2)), reason=ESCALATED, news=news)

    assert notification.title == "[ESCALATED to critical] FilesystemAlmostFull on db-03.lan (+1 more)"
    assert first_lines(notification) == (
        "Escalated to critical: FilesystemAlmostFull on db-03.lan was warning before. "
        "It still fires, since 2026-03-01 02:13 UTC."
    )


def test_escalation_told_when_it_is_better_again_says_so():
    incident = make_incident(make_alert(severity=Severity.WARNING), severity=Severity.WARNING)

    notification = say(incident, reason=ESCALATED, news=News(at=NOW, level=Severity.CRITICAL))

    assert notification.title.startswith("[ESCALATED to critical] ")
    assert first_lines(notification).startswith("Escalated to critical. It is warning now. It still fires")


def test_reminder_says_for_how_long_and_what_has_changed_since_the_last_message():
    incident = make_incident(make_alert(), make_alert(id=2))
    joined = [make_alert(id=2, name="InodesLow", severity=Severity.WARNING)]
    news = News(at=NOW, since=BEGAN, joined=joined, joined_count=1, ended_count=2)

    notification = say(incident, reason=REMINDER, news=news)

    assert notification.title == "[STILL FIRING, 4 h] critical: FilesystemAlmostFull on db-03.lan (+1 more)"
    assert first_lines(notification) == (
        "Still firing, for 4 h now: since 2026-03-01 02:13 UTC. Nobody has acknowledged it.\n"
        "Since the last message, at 2026-03-01 02:13 UTC: 1 joined and 2 ended:\n"
        "- warning InodesLow on db-03.lan"
    )


def test_reminder_says_where_nothing_has_changed():
    notification = say(make_incident(make_alert()), reason=REMINDER, news=News(at=NOW, since=BEGAN))

    assert first_lines(notification).endswith(
        "\nNo alert has joined it or ended since the last message, at 2026-03-01 02:13 UTC."
    )


def test_update_names_the_alerts_that_joined_and_counts_the_rest():
    joined = [make_alert(id=number, name=f"Full{number}") for number in range(10)]
    news = News(at=NOW, since=BEGAN, joined=joined, joined_count=1234)

    notification = say(make_incident(*joined), reason=UPDATED, news=news)

    assert notification.title == "[UPDATED, 1,234 more] critical: Full0 on db-03.lan (+9 more)"
    assert first_lines(notification).splitlines() == [
        "Since the last message, at 2026-03-01 02:13 UTC: 1,234 joined:",
        *(f"- critical Full{number} on db-03.lan" for number in range(5)),
        "… and 1,229 more",
        "It still fires, since 2026-03-01 02:13 UTC.",
    ]


@pytest.mark.parametrize(("reason", "is_earlier"), [(FIRING, False), (REMINDER, True), (UPDATED, True)])
def test_checks_of_an_earlier_message_are_not_shown_as_new(reason, is_earlier):
    checks = [CheckResult(checker_name="disk", status=CheckStatus.OK, message="41 % used")]

    message = say(make_incident(make_alert()), reason=reason, checks=checks, news=News(at=NOW)).message

    assert ("Checks on watch-01, made for an earlier message:" in message) is is_earlier
    assert ("Checks on watch-01:" in message) is not is_earlier


@pytest.mark.parametrize("reason", [FIRING, ESCALATED, REMINDER, UPDATED])
def test_alarm_that_goes_out_when_all_is_over_says_so(reason):
    incident = resolved_incident(make_alert(status=AlertStatus.RESOLVED))

    message = say(incident, reason=reason, news=News(at=NOW, since=BEGAN)).message

    assert message.startswith("Began to fire at 2026-03-01 02:13 UTC, and was over at 2026-03-01 03:35 UTC.")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (RESOLVED, "It is over, and fires again, since 2026-03-01 02:13 UTC."),
        (FIRING, "It began to fire and was over, and fires again, since 2026-03-01 02:13 UTC."),
    ],
)
def test_message_about_an_episode_that_another_has_followed_keeps_to_its_own_thread(reason, said):
    incident = make_incident(make_alert(), episode=2, created_at=BEGAN - timedelta(days=1))

    late, present = say(incident, reason=reason, episode=1), say(incident)

    assert first_lines(late) == said
    assert (late.thread, present.thread) == (
        "watchkeeper-7-1-20260228T021300",
        "watchkeeper-7-2-20260228T021300",
    )
    assert (late.tags["episode"], late.context["incident"]["episode"]) == ("1", 1)


def test_all_messages_of_an_episode_are_one_thread_however_its_beginning_moves():
    incident = make_incident(make_alert(), created_at=BEGAN)
    earlier = incident.model_copy(update={"started_at": BEGAN - timedelta(minutes=5)})

    assert say(incident).thread == say(earlier, reason=REMINDER, news=News(at=NOW)).thread


def test_stand_in_says_first_for_whom_it_stands():
    notification = say(make_incident(make_alert()), instead_of="pager")

    assert notification.message.startswith("Channel pager could not be told, so this one is.\n\nFiring since ")
    assert (notification.tags["instead_of"], notification.context["instead_of"]) == ("pager", "pager")


@pytest.mark.parametrize("reason", [each for each in NotificationReason if each is not NotificationReason.MESSAGE])
@pytest.mark.parametrize(
    "nasty",
    [
        "a\r\nBcc: x@y.example",
        "\u202egnp.exe\u200f",
        "{{ 7 * 7 }}",
        "<script>",
        "<!channel>",
        "a\x00\ud800",
        "z" * 100_000,
    ],
    ids=["crlf", "bidi", "template", "html", "mention", "nul", "long"],
)
def test_nasty_texts_stay_text_in_every_kind_of_message(reason, nasty):
    alert = make_alert(name=nasty, labels={"host": nasty}, description=nasty)
    incident = make_incident(
        alert, title=nasty, acknowledged_by=nasty, ended_by=nasty, closing_summary=nasty, acknowledged_at=BEGAN
    )
    news = News(at=NOW, since=BEGAN, joined=[alert] * 9, joined_count=9, raised=alert, raised_from=Severity.INFO)

    notification = say(incident, reason=reason, news=news, instead_of=nasty[:100])

    assert notification.title.isprintable()
    assert len(notification.title) <= MAX_TITLE_CHARS
    assert len(notification.message) <= MAX_MESSAGE_CHARS + 100
    assert all(line.isprintable() for line in notification.message.split("\n"))
    assert "49" not in notification.title
    json.dumps(notification.context).encode()


@pytest.mark.parametrize(("count", "shown", "rest"), [(5, 5, ""), (6, 6, ""), (7, 5, "… and 2 more")])
def test_actions_are_cut_only_where_that_saves_lines(count, shown, rest):
    advice = Recommendation(
        type=RecommendationType.DISK,
        priority=RecommendationPriority.HIGH,
        title="Look",
        description="",
        actions=[f"step {number}" for number in range(count)],
    )

    message = say(make_incident(make_alert()), analysis=make_analysis(recommendations=[advice])).message

    assert message.count("  - step ") == shown
    assert ("  … and" in message, rest in message) == (bool(rest), True)


@pytest.mark.parametrize(("provider", "is_marked"), [("openai", True), ("local", False)])
def test_commands_of_an_ai_that_destroy_are_marked_even_where_they_are_cut(provider, is_marked):
    actions = ["df -h /var", "rm -rf /var/log/old", "sync; " * 80 + "mkfs.ext4 /dev/sdb1"]
    advice = Recommendation(
        type=RecommendationType.DISK,
        priority=RecommendationPriority.HIGH,
        title="Free space",
        description="",
        actions=actions,
    )
    analysis = make_analysis(recommendations=[advice]).model_copy(update={"provider": provider})

    lines = say(make_incident(make_alert()), analysis=analysis).message.splitlines()

    marked = [line.endswith(" (destructive: think first)") for line in lines if line.startswith("  - ")]
    assert marked == [False, is_marked, is_marked]
    assert max(map(len, lines)) <= 310
