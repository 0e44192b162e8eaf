import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sinks import Answer
from status_table import answer, each_break, each_status, each_wait, logged, outcome_of, told

from storage.records import AlertView, ChannelConfig, IncidentView, Receipt
from storage.vocabulary import NotificationReason
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels import build
from tasks.notify.channels.pagerduty import MAX_DEDUP_KEY_CHARS
from tasks.notify.message import Notification, compose

KEY = "0123456789abcdefSECRET0123456789"
BEGAN = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)


def channel(endpoint="https://events.pagerduty.com", **config):
    defaults = {"integration_key": KEY, "endpoint": endpoint}
    return build(ChannelConfig(id=1, name="ops", driver="pagerduty", config=defaults | config))


def make_message(**values):
    defaults = {
        "reason": "message",
        "title": "Maintenance tonight",
        "message": "From 22:00.",
        "severity": "info",
        "channel": "ops",
        "idempotency_key": "9f1c",
    }
    return Notification(**(defaults | values))


def about(reason, *, status="open", episode=1, key="9f1c", **alert):
    """A message about incident 7, as the notify stage makes it."""
    is_over = status in ("resolved", "closed")
    defaults = {
        "id": 1,
        "source": "alertmanager",
        "fingerprint": "f00",
        "name": "DiskFull",
        "status": "resolved" if is_over else "firing",
        "severity": "critical",
        "description": "Only 3 % left on /var.",
        "labels": {"instance": "db-03:9100", "mountpoint": "/var", "job": "node"},
        "annotations": {"runbook_url": "https://wiki.example/disk", "dashboard_url": "javascript:alert(1)"},
        "started_at": BEGAN,
        "ended_at": None,
    }
    incident = IncidentView(
        id=7,
        title="DiskFull",
        status=status,
        severity="critical",
        description="",
        episode=episode,
        started_at=BEGAN,
        resolved_at=datetime(2026, 3, 1, 3, 35, tzinfo=UTC) if is_over else None,
        environment="production",
        alert_count=1,
        firing_alert_count=0 if is_over else 1,
        severity_counts={"critical": 1},
        truncated_alerts=0,
        alerts=[AlertView(**(defaults | alert))],
    )
    return compose(
        incident=incident,
        reason=NotificationReason(reason),
        checks=[],
        hostname="watch-01",
        evidence={},
        analysis=None,
        links={"run": "https://watch.example/run/1"},
        trace_id="trace-1",
        run_id="run-1",
        channel="ops",
        idempotency_key=key,
    )


def sent_by(http_sink):
    return [json.loads(request.body) for request in http_sink.requests]


def test_a_firing_incident_triggers_an_alert_with_its_facts(http_sink):
    http_sink.answer_with(202)
    notification = about("firing")

    receipt = channel(http_sink.url, client="Watchkeeper", client_url="https://watch.example/").deliver(
        notification
    )

    [request] = http_sink.requests
    assert (request.method, request.path) == ("POST", "/v2/enqueue")
    assert request.headers["Content-Type"] == "application/json"
    event = json.loads(request.body)
    details = event["payload"].pop("custom_details")
    assert event == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": notification.thread,
        "client": "Watchkeeper",
        "client_url": "https://watch.example/",
        "payload": {
            "summary": notification.title,
            "severity": "critical",
            "source": "db-03",
            "component": "/var",
            "group": "production",
            "class": "DiskFull",
            "timestamp": "2026-03-01T02:13:00+00:00",
        },
        "links": [
            {"href": "https://watch.example/run/1", "text": "run"},
            {"href": "https://wiki.example/disk", "text": "Runbook"},
        ],
    }
    assert details["message"] == notification.message
    assert (details["reason"], details["trace_id"], details["run_id"]) == ("firing", "trace-1", "run-1")
    assert details["alerts"][0]["description"] == "Only 3 % left on /var."
    assert receipt == Receipt(provider_id=notification.thread, detail="127.0.0.1 answered 202 to trigger")


def test_all_that_is_said_of_an_episode_is_about_one_alert_and_the_next_is_another(http_sink):
    pager = channel(http_sink.url)
    reasons = ["firing", "reminder", "updated", "escalated", "acknowledged", "resolved"]

    for key, reason in enumerate(reasons):
        status = "resolved" if reason == "resolved" else "open"
        pager.deliver(about(reason, status=status, key=str(key)))
    pager.deliver(about("firing", episode=2, key="next"))

    *first, second = sent_by(http_sink)
    assert [event["event_action"] for event in first] == ["trigger"] * 4 + ["acknowledge", "resolve"]
    assert len({event["dedup_key"] for event in first}) == 1
    assert second["dedup_key"] not in {event["dedup_key"] for event in first}
    assert set(first[-1]) == set(first[-2]) == {"routing_key", "event_action", "dedup_key"}


@pytest.mark.parametrize("status", ["resolved", "closed"])
@pytest.mark.parametrize("reason", ["firing", "reminder", "updated", "escalated"])
def test_nobody_is_paged_for_what_is_over(http_sink, reason, status):
    receipt = channel(http_sink.url).deliver(about(reason, status=status))

    assert receipt == Receipt(detail="not sent: the incident is over")
    assert http_sink.requests == []


def test_a_message_about_no_incident_goes_by_its_own_key_or_the_configs(http_sink):
    channel(http_sink.url).deliver(make_message(tags={"host": "db-03", "component": "raid"}))
    channel(http_sink.url, dedup_key="mine").deliver(make_message())
    channel(http_sink.url, dedup_key="mine", event_action="resolve").deliver(make_message())

    first, second, third = sent_by(http_sink)
    assert (first["event_action"], first["dedup_key"]) == ("trigger", "9f1c")
    assert (first["payload"]["source"], first["payload"]["component"]) == ("db-03", "raid")
    assert (second["event_action"], second["dedup_key"]) == ("trigger", "mine")
    assert second["payload"]["source"] == "watchkeeper"
    assert third == {"routing_key": KEY, "event_action": "resolve", "dedup_key": "mine"}


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_alert_can_be_acknowledged_and_resolved_by_its_key(http_sink, action):
    pager = channel(http_sink.url, client="Watchkeeper", event_action=action, dedup_key="mine")

    receipt = pager.deliver(make_message())

    assert sent_by(http_sink) == [{"routing_key": KEY, "event_action": action, "dedup_key": "mine"}]
    assert receipt.provider_id == "mine"


def test_no_message_has_a_key_that_is_too_long_for_an_alert():
    with pytest.raises(ValidationError, match="idempotency_key"):
        make_message(idempotency_key="k" * (MAX_DEDUP_KEY_CHARS + 1))
    with pytest.raises(ValidationError, match="thread"):
        make_message(thread="t" * (MAX_DEDUP_KEY_CHARS + 1))


@pytest.mark.parametrize(
    ("severity", "shown"),
    [("critical", "critical"), ("warning", "warning"), ("info", "info"), ("success", "info")],
)
def test_severities_are_pagerdutys_own(severity, shown):
    assert channel().build_event(make_message(severity=severity))["payload"]["severity"] == shown


@pytest.mark.parametrize("began", ["yesterday", "2026-03-01", "2026-03-01T02:13:00", 7, None], ids=repr)
def test_a_time_that_is_none_is_left_out(began):
    event = channel().build_event(make_message(context={"incident": {"started_at": began}}))

    assert "timestamp" not in event["payload"]


NASTY = "<!channel> <@U1> <b>& `x` {{7*7}}\r\nX-A: b \u202egnp.exe \ud800 \U0001f525"


def test_nasty_texts_stay_texts(http_sink):
    notification = make_message(
        title=NASTY,
        message=NASTY,
        tags={NASTY: NASTY, "host": NASTY},
        context={"analysis": {"summary": "a\ud800"}},
    )

    channel(http_sink.url).deliver(notification)

    [event] = sent_by(http_sink)
    assert event["payload"]["summary"] == "<!channel> <@U1> <b>& `x` {{7*7}} X-A: b gnp.exe \U0001f525"
    assert event["payload"]["source"] == event["payload"]["summary"]
    assert event["payload"]["custom_details"]["analysis"] == {"summary": "a?"}
    assert not re.search("[\r\u202e\ud800]", json.dumps(event, ensure_ascii=False))


def test_a_long_text_is_cut_where_everybody_sees_it():
    event = channel().build_event(make_message(message="x" * 100_000))

    assert event["payload"]["custom_details"]["message"].endswith("… [+84,023 characters]")
    assert len(event["payload"]["custom_details"]["message"]) <= 16_000


def test_what_does_not_fit_into_an_event_is_named():
    checks = [{"message": "\U0001f525" * 2_000} for _ in range(100)]
    notification = make_message(
        context={"checks": checks, "analysis": {"summary": "Full."}, "trace_id": "trace-1"}
    )

    pager = channel()
    event = pager.build_event(notification)

    details = event["payload"]["custom_details"]
    assert details["left_out"] == ["checks"]
    assert (details["analysis"], details["trace_id"]) == ({"summary": "Full."}, "trace-1")
    assert len(pager.build_request(event).body) <= 512_000


TEXTS = st.builds(lambda text, times: text * times, st.text(max_size=30), st.sampled_from([1, 50, 9_000]))
VALUES = st.one_of(TEXTS, st.integers(), st.lists(TEXTS, max_size=4), st.dictionaries(TEXTS, TEXTS, max_size=4))


@settings(max_examples=40, deadline=None)
@given(
    title=TEXTS,
    text=TEXTS,
    tags=st.dictionaries(st.one_of(TEXTS, st.sampled_from(["host", "alert", "component"])), TEXTS, max_size=6),
    context=st.dictionaries(
        st.sampled_from(["incident", "alerts", "checks", "analysis", "links", "trace_id"]), VALUES, max_size=6
    ),
)
def test_any_event_fits(title, text, tags, context):
    pager = channel()

    event = pager.build_event(make_message(title=title, message=text, tags=tags, context=context))

    assert len(pager.build_request(event).body) <= 512_000
    payload = event["payload"]
    assert 0 < len(payload["summary"]) <= 1_024
    assert all(
        0 < len(payload[name]) <= 255 for name in ("source", "component", "group", "class") if name in payload
    )
    assert len(event["dedup_key"]) <= 255
    assert all(re.match("https?://", link["href"]) for link in event["links"])


@each_status
def test_every_status_has_its_outcome_and_none_tells_the_key(http_sink, caplog, status, outcome):
    caplog.set_level("DEBUG")
    http_sink.answer_with(answer(status, body=KEY.encode(), Location=f"{http_sink.url}/{KEY}"))
    pager, notification = channel(http_sink.url), about("firing")

    result = outcome_of(lambda: pager.deliver(notification))

    assert type(result) is outcome
    assert f"127.0.0.1 answered {status}" in told(result)
    assert len(http_sink.requests) == 1
    request = pager.build_request(pager.build_event(notification))
    for said in (told(result), told(pager.config), told(request), logged(caplog)):
        assert "SECRET" not in said


@each_break
def test_a_broken_connection_has_its_outcome(broken, outcome):
    with broken() as url:
        result = outcome_of(lambda: channel(url, timeout=0.2).deliver(about("firing")))

    assert type(result) is outcome
    assert "SECRET" not in told(result)


@each_wait
def test_the_wait_that_pagerduty_asks_for_is_kept(http_sink, wish, seconds):
    http_sink.answer_with(answer(429, Retry_After=wish()))

    with pytest.raises(TransientError) as caught:
        channel(http_sink.url).deliver(about("firing"))

    waited = caught.value.retry_after_seconds
    assert (
        waited is seconds if seconds is None else waited == pytest.approx(seconds, abs=30 if seconds == 90 else 0)
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '{"status": "invalid event", "errors": ["\'summary\' is missing", "no\\r\\nlines"]}',
            ": 'summary' is missing; no lines",
        ),
        (
            json.dumps({"errors": [f"key {KEY} is unknown", f"so is {KEY.upper()}"]}),
            ": key *** is unknown; so is ***",
        ),
        (json.dumps({"errors": ["Authorization: Bearer abcdefghij0123456789"]}), ": Authorization: ***"),
        (json.dumps({"errors": [7, None, "a", "b"]}), ": a; b"),
        (json.dumps({"errors": "x"}), ""),
        (json.dumps(["x"]), ""),
        ("[" * 50_000, ""),
        (f"<html>{KEY}", ""),
        ("", ""),
    ],
    ids=["errors", "key", "token", "not texts", "no list", "no object", "deep", "html", "empty"],
)
def test_pagerdutys_own_reasons_are_told_without_the_key(http_sink, body, said):
    http_sink.answer_with(answer(400, body=body.encode()))

    with pytest.raises(PermanentError) as caught:
        channel(http_sink.url).deliver(about("firing"))

    assert str(caught.value) == f"127.0.0.1 answered 400{said}"
    assert "SECRET" not in told(caught.value)


def test_long_reasons_are_cut_where_everybody_sees_it(http_sink):
    http_sink.answer_with(Answer(status=400, body=json.dumps({"errors": ["e" * 5_000] * 9}).encode()))

    with pytest.raises(PermanentError, match=r"^127.0.0.1 answered 400: e+… \[\+14,\d+ characters\]$") as caught:
        channel(http_sink.url).deliver(about("firing"))

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("suffix", ["", "/", "/v2/enqueue"])
def test_the_endpoint_may_be_a_base_or_the_whole_of_it(suffix):
    pager = channel(f"https://events.eu.pagerduty.com{suffix}")

    assert pager.build_request({}).url == "https://events.eu.pagerduty.com/v2/enqueue"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"integration_key": "SECRET"}, "integration_key: Value should have at least 20 items"),
        ({"integration_key": {"env": "WK_UNSET"}}, "integration_key: environment variable 'WK_UNSET' is not set"),
        ({"event_action": "SECRET"}, "event_action: Input should be 'trigger', 'acknowledge' or 'resolve'"),
        ({"event_action": "resolve"}, "event_action resolve needs a dedup_key"),
        ({"dedup_key": "SECRET" * 50}, "dedup_key: String should have at most 255 characters"),
        ({"client_url": "javascript:SECRET"}, "client_url: not an http or https URL"),
        ({"endpoint": "ftp://a/SECRET"}, "endpoint: not an http or https URL"),
        ({"endpoint": "https://a/?SECRET"}, "endpoint: a base URL has no query"),
        ({"endpoint": "https://ann:SECRET@a/"}, "endpoint: a URL with a login"),
        ({"timeout": 0}, "timeout: Input should be greater than 0"),
        ({"service_key": "SECRET"}, "service_key: Extra inputs are not permitted"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_config_is_refused_by_channel_and_field_without_its_values(config, said):
    with pytest.raises(PermanentError) as caught:
        channel(**config)

    assert str(caught.value).startswith("channel 'ops': ")
    assert said in str(caught.value)
    assert "SECRET" not in told(caught.value)
