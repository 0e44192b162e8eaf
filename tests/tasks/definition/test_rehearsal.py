"""A rehearsal says what a pipeline would do, and leaves nothing behind."""

import json
from typing import Any

from rows import add_alert, add_incident
from sqlalchemy import func, select

from storage import channels
from storage.database import Database
from storage.records import ChannelPolicy
from storage.tables import Alert, Delivery, Incident, Notification, PipelineRun, StageExecution
from storage.vocabulary import Severity
from tasks.definition.checking import read_definition
from tasks.definition.rehearsal import Wish, as_delivery, rehearse
from tasks.definition.rehearsed import Rehearsal, Turn

TAKE: dict[str, Any] = {"id": "take", "type": "ingest", "next": "tell"}
TELL: dict[str, Any] = {"id": "tell", "type": "notify"}


def rehearsed(database: Database, nodes: list[dict[str, Any]], payload: Any = None) -> Rehearsal:
    """What a pipeline of these nodes would do with this body."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    delivery = as_delivery(body, "generic", "test")
    given = None if payload is None else delivery
    with database.trial() as session:
        return rehearse(session, Wish("mine", read_definition({"nodes": nodes}), "test", given))


def test_payload_is_taken_in_and_nothing_of_it_is_kept(database: Database) -> None:
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"webhook_url": "https://x.test/"})

    seen = rehearsed(database, [TAKE, TELL], {"name": "Disk full", "severity": "critical"})

    assert [(node.id, node.turn) for node in seen.nodes] == [("take", Turn.RUNS), ("tell", Turn.RUNS)]
    assert [(alert.name, alert.severity, alert.events) for alert in seen.alerts] == [
        ("Disk full", "critical", ("created",))
    ]
    assert [(incident.id, incident.reasons) for incident in seen.incidents] == [(None, ("firing",))]
    assert [(each.channel, each.told) for each in seen.nodes[1].channels] == [("ops", ("firing",))]
    with database.read() as session:
        for table in (Alert, Delivery, Incident, Notification, PipelineRun, StageExecution):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_alert_that_is_known_and_fires_already_is_no_news(database: Database) -> None:
    with database.write() as session:
        incident = add_incident(session)
        add_alert(session, fingerprint="disk-1", incident_id=incident.id)

    seen = rehearsed(database, [TAKE, TELL], {"name": "Disk full", "fingerprint": "disk-1", "severity": "warning"})

    assert seen.alerts[0].events == ("refreshed",)
    assert (seen.nodes[1].turn, seen.nodes[1].why) == (
        Turn.SKIPPED,
        "nothing new to tell: 1 alerts seen, 0 new",
    )


def test_condition_is_shown_with_what_it_saw_and_decides(database: Database) -> None:
    nodes = [TAKE, {**TELL, "when": 'severity >= "critical" and labels.team == "db"'}]

    seen = rehearsed(database, nodes, {"name": "Disk full", "severity": "warning", "labels": {"team": "db"}})

    [condition] = seen.nodes[1].conditions
    assert (condition.key, condition.holds, condition.facts["severity"]) == ("when", False, "warning")
    assert condition.facts["labels"]["team"] == "db"
    assert seen.nodes[1].turn is Turn.SKIPPED
    assert seen.nodes[1].why.startswith("when is false: ")


def test_what_hangs_on_a_node_that_is_not_run_is_left_open(database: Database) -> None:
    nodes = [
        {**TAKE, "next": "look"},
        {"id": "look", "type": "context", "config": {"checker_names": ["disk"]}, "next": "think"},
        {"id": "think", "type": "intelligence", "skip_if_errors": ["look"], "next": "tell"},
        {**TELL, "when": 'look.status == "critical"'},
    ]

    seen = rehearsed(database, nodes, {"name": "Disk full"})

    assert [node.turn for node in seen.nodes] == [Turn.RUNS, Turn.RUNS, Turn.DEPENDS, Turn.DEPENDS]
    assert (seen.nodes[1].does, seen.nodes[2].does) == (("checks disk",), ("asks local",))
    assert seen.nodes[2].why == "skip_if_errors: on whether node look has errors"
    assert seen.nodes[3].conditions[0].waits_for == ("look",)


def test_run_without_a_delivery_depends_on_what_the_checks_find(database: Database) -> None:
    with database.write() as session:
        channels.add_channel(session, name="ops", driver="generic", config={"webhook_url": "https://x.test/"})
    nodes = [{"id": "look", "type": "context", "config": {"checker_names": ["disk"]}, "next": "tell"}, TELL]

    seen = rehearsed(database, nodes)

    assert [node.turn for node in seen.nodes] == [Turn.RUNS, Turn.DEPENDS]
    assert seen.nodes[1].why == "on whether node look finds anything new"
    assert [(each.channel, each.told) for each in seen.nodes[1].channels] == [("ops", ("firing",))]


def test_delivery_that_cannot_be_read_raises_an_alert_of_our_own_once(database: Database) -> None:
    seen = rehearsed(database, [TAKE, TELL], b"no JSON")

    assert seen.unreadable.startswith("the body is not JSON")
    assert seen.nodes[0].turn is Turn.RUNS
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 0


def test_channel_that_is_not_there_or_wants_graver_news_is_named_with_the_reason(database: Database) -> None:
    with database.write() as session:
        channels.add_channel(
            session,
            name="pager",
            driver="generic",
            config={"webhook_url": "https://x.test/"},
            policy=ChannelPolicy(min_severity=Severity.CRITICAL),
        )
    nodes = [TAKE, {**TELL, "config": {"channels": ["pager", "gone"]}}]

    seen = rehearsed(database, nodes, {"name": "Disk full", "severity": "info"})

    pager, gone = seen.nodes[1].channels
    assert (pager.told, gone.channel) == ((), "channel 'gone' is not active")
    assert pager.not_told[0].startswith("info is below its min_severity")


def test_node_that_finds_no_channel_fails_and_what_follows_is_not_reached(database: Database) -> None:
    seen = rehearsed(
        database, [TAKE, {**TELL, "next": "more"}, {"id": "more", "type": "notify"}], {"name": "Disk full"}
    )

    assert [node.turn for node in seen.nodes] == [Turn.RUNS, Turn.FAILS, Turn.NOT_REACHED]
    assert seen.nodes[1].why.startswith("no active notification channel")
