"""Advice on request: what is asked, of whom, and what is left of it."""

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from rows import add_incident
from sinks import Answer, HttpSink
from sqlalchemy import select

from storage import providers
from storage.analyses import AnalysisOrder, add_failed, add_succeeded
from storage.database import Database
from storage.records import AlertView, Analysis, CheckResult, IncidentView, ProviderConfig
from storage.settings import SettingsError
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.transitions import IncidentNotFoundError
from storage.vocabulary import AlertStatus, AnalysisStatus, CheckStatus, IncidentStatus, Severity
from tasks.analyze import advice, host_advice
from tasks.analyze.advice import Advised, Part
from tasks.analyze.asking import LOCAL
from tasks.analyze.request import AnalysisRequest
from tasks.check.apart import Measured
from tasks.check.checkers import DEFAULTS
from tasks.errors import PermanentError

OPENAI = VENDORS["openai"]
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE = socket.gethostname()
REQUEST = AnalysisRequest(incident=None, checks=[], evidence={"hostname": "web-1"})


class Child:
    """Stands for the process that measures: what it is told to do, and its answer."""

    def __init__(self) -> None:
        self.names: Sequence[str] = ()
        self.configs: Mapping[str, Mapping[str, Any]] = {}
        self.within_seconds = 0.0

    def __call__(
        self, names: Sequence[str], configs: Mapping[str, Mapping[str, Any]], *, within_seconds: float
    ) -> Measured:
        self.names, self.configs, self.within_seconds = names, configs, within_seconds
        results = [
            CheckResult(checker_name="memory", status=CheckStatus.OK, message="fine"),
            CheckResult(checker_name="raid", status=CheckStatus.SKIPPED, message="no raid"),
        ]
        return Measured(results=results, evidence={"hostname": HERE})


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    child = Child()
    monkeypatch.setattr(host_advice, "measure", child)
    return child


def openai(sink: HttpSink, **more: Any) -> ProviderConfig:
    return ProviderConfig(name="prod", provider="openai", config={**OPENAI.config(sink.url), **more})


def rows(database: Database) -> list[AnalysisRun]:
    with database.read() as session:
        return list(session.scalars(select(AnalysisRun).order_by(AnalysisRun.id)))


def make_incident(database: Database, **given: Any) -> int:
    with database.write() as session:
        return add_incident(session, **given).id


def incident(*hosts: str) -> IncidentView:
    """One with a firing alert on each of these hosts; an alert that names none for an empty one."""
    alerts = [
        AlertView(
            id=number,
            source="generic",
            fingerprint=str(number),
            name="Memory",
            status=AlertStatus.FIRING,
            severity=Severity.WARNING,
            description="",
            labels={"instance": host} if host else {},
            annotations={},
            started_at=utc_now(),
            ended_at=None,
        )
        for number, host in enumerate(hosts)
    ]
    return IncidentView(
        id=1,
        title="Memory",
        status=IncidentStatus.OPEN,
        severity=Severity.WARNING,
        description="",
        episode=1,
        started_at=utc_now(),
        resolved_at=None,
        environment="",
        alert_count=len(alerts),
        firing_alert_count=len(alerts),
        severity_counts={},
        truncated_alerts=0,
        alerts=alerts,
    )


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ([], [*DEFAULTS, "process"]),
        ([Part.MEMORY], ["memory", "swap_io"]),
        ([Part.DISK, Part.MEMORY], [*host_advice.CHECKERS_OF[Part.DISK], "memory", "swap_io"]),
    ],
)
def test_host_is_measured_by_the_checkers_of_what_is_asked(
    child: Child, monkeypatch: pytest.MonkeyPatch, parts: list[Part], names: list[str]
) -> None:
    monkeypatch.setenv(
        "WATCHKEEPER_CHECKERS", '{"process": {"processes": ["x"]}, "cpu": {"per_cpu": true, "samples": 9}}'
    )

    request = advice.about_host(parts)

    assert sorted(child.names) == sorted(names)
    assert child.configs["cpu"] == {"per_cpu": True, "samples": 1}
    assert child.configs["process"] == {"processes": ["x"]}
    assert child.within_seconds == 10
    assert [check.checker_name for check in request.checks] == ["memory"]
    assert request.own_host == HERE


def test_wrong_configuration_of_a_checker_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"memory": {"warning_treshold": 5}}')

    with pytest.raises(SettingsError, match="WATCHKEEPER_CHECKERS: checker memory: unknown config key"):
        advice.about_host([Part.MEMORY])


@pytest.mark.parametrize(
    ("hosts", "is_measured"),
    [([HERE], True), (["db-99"], False), ([HERE, "db-99"], False), (["10.0.0.9"], True), ([""], True), ([], True)],
)
def test_host_is_measured_unless_the_incident_is_anothers(
    child: Child, hosts: list[str], is_measured: bool
) -> None:
    question = AnalysisRequest(incident=incident(*hosts))

    asked = advice.with_readings(question)

    assert bool(child.names) is bool(asked.checks) is bool(asked.evidence) is is_measured


def test_earlier_incidents_of_the_group_belong_to_the_question(database: Database) -> None:
    make_incident(database, title="then", group_key="g", status=IncidentStatus.CLOSED)
    incident_id = make_incident(database, title="now", group_key="g")

    with database.read() as session:
        question = advice.about_incident(session, incident_id)

    assert [earlier.title for earlier in question.earlier] == ["then"]


@on_one_database
def test_unknown_incident_is_named(database: Database) -> None:
    with database.read() as session, pytest.raises(IncidentNotFoundError, match="there is no incident 7"):
        advice.about_incident(session, 7)


@pytest.mark.parametrize(
    ("saved", "active", "kind", "name"),
    [
        ([], None, None, "local"),
        ([], None, "openai", "openai"),
        (["openai", "openai"], None, "openai", "openai-0"),
        (["openai", "local", "openai"], "openai-2", "openai", "openai-2"),
        (["openai", "local"], "openai-0", "local", "local-1"),
        (["openai", "local"], "openai-0", None, "openai-0"),
    ],
)
@on_one_database
def test_provider_is_the_saved_one_of_the_kind_the_active_before_others(
    database: Database, saved: list[str], active: str | None, kind: str | None, name: str
) -> None:
    with database.write() as session:
        for number, each in enumerate(saved):
            providers.add_provider(session, name=f"{each}-{number}", provider=each, config={"top_n_processes": 3})
        if active:
            providers.activate(session, active)

    with database.read() as session:
        chosen = advice.chosen(session, kind)

    assert chosen.name == name
    assert chosen.config == ({"top_n_processes": 3} if "-" in name else {})


def test_answer_is_the_providers_and_stored_with_what_it_cost(database: Database) -> None:
    with HttpSink([OPENAI.answer(json.dumps(GOOD), prompt_tokens=100, completion_tokens=20)]) as sink:
        advised = advice.advise(REQUEST, openai(sink))

    [row] = rows(database)
    assert (row.status, row.provider, row.total_tokens) == (AnalysisStatus.SUCCEEDED, "openai", 120)
    assert row.trace_id
    assert OPENAI.key not in json.dumps(row.provider_config)
    form = advised.as_json()
    assert form["ai_output_ref"] == f"analysis:{row.id}"
    assert (form["summary"], form["confidence"], form["count"]) == (GOOD["summary"], GOOD["confidence"], 1)
    assert (form["total_tokens"], form["provider_error"], form["fallback_used"]) == (120, "", False)


@on_one_database
def test_same_question_is_answered_from_what_is_stored(database: Database) -> None:
    with HttpSink([OPENAI.answer(json.dumps(GOOD))]) as sink:
        first = advice.advise(REQUEST, openai(sink))
        again = advice.advise(REQUEST, openai(sink))

        assert len(sink.requests) == 1
    assert (first.is_cached, again.is_cached) == (False, True)
    assert again.as_json()["summary"] == GOOD["summary"]
    assert len(rows(database)) == 2


@on_one_database
def test_local_rules_stand_in_and_say_why_without_a_secret(database: Database) -> None:
    with HttpSink([OPENAI.error(401, f"Incorrect API key provided: {OPENAI.key}")]) as sink:
        advised = advice.advise(REQUEST, openai(sink))

    failed, stored = rows(database)
    assert (failed.status, failed.provider) == (AnalysisStatus.FAILED, "openai")
    assert (stored.status, stored.provider, stored.fallback_used) == (AnalysisStatus.SUCCEEDED, "local", True)
    assert failed.trace_id == stored.trace_id
    form = advised.as_json()
    assert (form["provider"], form["fallback_used"]) == ("local", True)
    assert "answered 401" in form["provider_error"]
    assert OPENAI.key not in json.dumps(form) + failed.error_message


@on_one_database
def test_nothing_stands_in_where_the_installation_forbids_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATION_INTELLIGENCE_FALLBACK_ENABLED", "false")

    with pytest.raises(PermanentError, match="api_key"):
        advice.advise(REQUEST, ProviderConfig(name="x", provider="openai", config={"api_key": {"env": "NO_SUCH"}}))

    assert [row.status for row in rows(database)] == [AnalysisStatus.FAILED]


@on_one_database
def test_slow_provider_is_not_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "ASK_SECONDS", 0.6)
    with HttpSink(default=Answer(delay_seconds=1)) as sink:
        advised = advice.advise(REQUEST, openai(sink))

    assert "did not answer within" in advised.provider_error
    assert [row.status for row in rows(database)] == [AnalysisStatus.FAILED, AnalysisStatus.SUCCEEDED]


def test_what_nobody_foresaw_is_told_by_its_kind_alone() -> None:
    assert advice.said(RuntimeError("hunter2")) == "failed with RuntimeError"
    assert advice.said(PermanentError("https://u:hunter2@x/ said no")) == "https://***@x/ said no"


@pytest.mark.usefixtures("child")
def test_local_rules_need_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")

    advised = advice.by_rules(advice.about_host())

    assert advised.result.ai_output_ref == ""
    assert "fine" in advised.result.analysis.summary


def test_newest_answer_is_found_by_incident_and_provider(database: Database) -> None:
    incident_id, other_id = make_incident(database), make_incident(database)
    with database.write() as session:
        for number, (about, provider) in enumerate(
            [(incident_id, "openai"), (incident_id, "local"), (other_id, "openai")], start=1
        ):
            order = AnalysisOrder(provider, {}, about, "", "", utc_now())
            add_succeeded(session, order, Analysis(summary=str(number)), completed_at=utc_now())
        add_failed(session, AnalysisOrder("openai", {}, incident_id, "", "", utc_now()), "PermanentError: no")

    with database.read() as session:
        found = [advice.newest(session, incident_id, kind=kind) for kind in ("", "openai", "local", "mistral")]

    assert [each and each.result.analysis.summary for each in found] == ["2", "1", "2", None]


def test_what_is_shown_holds_no_secret() -> None:
    advised = advice.by_rules(REQUEST)
    analysis = advised.result.analysis.model_copy(update={"summary": "try https://u:hunter2@x/"})

    form = Advised(
        result=advised.result.model_copy(update={"analysis": analysis}), analyzed_at=utc_now()
    ).as_json()

    assert form["summary"] == "try https://***@x/"
    assert LOCAL.provider == form["provider"]
