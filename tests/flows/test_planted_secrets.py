"""Secrets planted wherever a sender or a check could put one: after a whole run they are nowhere to be found."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from analyzing import PIPELINE, activate, add_run, execute_to_the_end
from planted import SECRETS, Planted
from sinks import Answer, HttpSink
from sqlalchemy import select

from flows.report import markdown_report
from storage import channels, definitions
from storage.database import Database
from storage.records import CheckResult
from storage.tables import AnalysisRun, Base, Delivery
from storage.vocabulary import AnalysisStatus, CheckStatus, RunStatus
from tasks.check import apart
from tasks.check.checkers.base import state

OPENAI = VENDORS["openai"]
# An incident's alerts are told to a model, but not any number of them.
IN_ONE_INCIDENT = 24
NAMED = list(SECRETS.items())
GROUPS = [dict(NAMED[start : start + IN_ONE_INCIDENT]) for start in range(0, len(NAMED), IN_ONE_INCIDENT)]
# None of the two is in a question: a model may make something up.
MADE_UP = "use password: Zw9-made-up and postgres://ann:Zw9-also-made-up@db/x"


def planted_alert(team: int, name: str, planted: Planted) -> dict[str, Any]:
    """An alert with the secret in everything that a sender chooses."""
    return {
        "name": f"Backup failed: {planted.text}",
        "severity": f"critical {planted.text}",
        "fingerprint": f"{name} {planted.text}",
        "description": f"It said: {planted.text}",
        "labels": {"team": f"team-{team}", "said": planted.text, "password": planted.secret},
        "annotations": {"summary": f"said {planted.text}", planted.text: "as a name"},
        "extra": [{"deep": [planted.text], "env": {"env": planted.text}}],
        "host": planted.text.split()[0],
    }


def planted_check(name: str, planted: Planted) -> CheckResult:
    """What a check could read on a host: a command line, a URL, an error of another program."""
    return CheckResult(
        checker_name="process",
        status=CheckStatus.WARNING,
        message=f"{name}: {planted.text}",
        metrics={"line": planted.text, "processes": [{"line": planted.text}], planted.text: 1},
        readings=[state(CheckStatus.WARNING, f"runs as {planted.text}")],
        error=f"it said {planted.text}",
    )


def save_pipeline(database: Database, url: str) -> None:
    """Every stage, with all alerts of a team in one incident."""
    nodes: list[dict[str, Any]] = [
        {"id": "ingest", "type": "ingest", "config": {"group_by": ["team"]}, "next": "check"},
        {"id": "check", "type": "context", "next": "analyze"},
        {
            "id": "analyze",
            "type": "intelligence",
            "config": {"max_incidents": 50},
            "next": "notify",
            "max_retries": 0,
        },
        {"id": "notify", "type": "notify"},
    ]
    with database.write() as session:
        definitions.save(session, name=PIPELINE, config={"version": "1.0", "nodes": nodes})
        channels.add_channel(session, name="people", driver="generic", config={"endpoint": url})


def repeated(group: Mapping[str, Planted]) -> Answer:
    """A model's answer that repeats the secrets of these alerts in each of its parts."""
    texts = [planted.text for planted in group.values()]
    advice = GOOD["recommendations"][0]
    answer = {
        **GOOD,
        "summary": f"It is {texts[0]}; {MADE_UP}",
        "probable_cause": texts[1],
        "recommendations": [
            {**advice, "title": text[:100], "description": text, "actions": texts[2:]} for text in texts[:5]
        ],
    }
    return OPENAI.answer(json.dumps(answer), model=f"gpt {texts[-1]}")


@pytest.fixture
def check_of_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child that measures the host is the one thing that cannot be made to read secrets."""
    results = [planted_check(name, planted) for name, planted in SECRETS.items()]
    evidence = {"hostname": "web-1", "processes": [{"line": p.text} for p in SECRETS.values()]}
    measured = apart.Measured(results=results, evidence=evidence)
    monkeypatch.setattr(apart, "measure", lambda *_, **__: measured)


def columns(database: Database) -> Iterator[tuple[str, str]]:
    """Every column of every table with all that it holds, except the bodies, which are kept as they came."""
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for column in table.columns:
                if column is not Delivery.__table__.c.body:
                    yield str(column), repr(list(session.scalars(select(column))))


def leaks(places: Sequence[tuple[str, str]]) -> list[str]:
    """Each secret with each place where it can be read; `made up` is what only the model said."""
    secrets = {name: planted.secret for name, planted in SECRETS.items()} | {"made up": "made-up"}
    # JSON, repr and Markdown put backslashes between its characters.
    plain = [(place, text.replace("\\", "")) for place, text in places]
    return [f"{name} in {place}" for name, secret in secrets.items() for place, text in plain if secret in text]


def run_with(
    database: Database, caplog: pytest.LogCaptureFixture, answers: Sequence[Answer]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Every place that a run leaves something in, with its text, and what the model was asked."""
    caplog.set_level(logging.DEBUG)
    # It writes down what any statement reads and writes, so the bodies too: nobody who turns it on wants less.
    caplog.set_level(logging.WARNING, logger="sqlalchemy")
    with HttpSink() as people, HttpSink(answers) as model:
        save_pipeline(database, people.url)
        activate(database, "openai", OPENAI.config(model.url) | {"max_input_tokens": 500_000})
        alerts = [
            planted_alert(team, name, planted)
            for team, group in enumerate(GROUPS)
            for name, planted in group.items()
        ]
        run_id = add_run(database, *alerts)

        ended = execute_to_the_end(run_id)

    assert ended.status is RunStatus.NOTIFIED
    assert len(people.requests) == len(GROUPS)
    with database.read() as session:
        report = markdown_report(session, run_id)
    asked = [OPENAI.asked(request) for request in model.requests]
    places = [
        *(
            (f"request {place} to the model", request.body.decode())
            for place, request in enumerate(model.requests)
        ),
        *((f"message {place}", sent.body.decode()) for place, sent in enumerate(people.requests)),
        *columns(database),
        *((f"log of {record.name}", f"{record.getMessage()} {vars(record)}") for record in caplog.records),
        ("the report", report),
    ]
    return places, asked


@pytest.mark.usefixtures("check_of_secrets")
def test_no_secret_leaks_though_the_model_repeats_them_all(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    places, asked = run_with(database, caplog, [repeated(group) for group in GROUPS])

    found = leaks(places)
    assert not found, "\n".join(found)
    assert len(asked) == len(GROUPS)
    # What was around the secrets was asked, so that they were there to be found.
    assert all("It said: " in question for question in asked)
    assert all(question.count("***") > len(SECRETS) for question in asked)
    with database.read() as session:
        statuses = set(session.scalars(select(AnalysisRun.status)))
    assert statuses == {AnalysisStatus.SUCCEEDED}


@pytest.mark.usefixtures("check_of_secrets")
def test_no_secret_leaks_though_the_model_refuses_with_them_all(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [" ".join(planted.text for planted in group.values()) for group in GROUPS]

    places, asked = run_with(database, caplog, [OPENAI.error(401, f"{MADE_UP}: {text}") for text in texts])

    found = leaks(places)
    assert not found, "\n".join(found)
    assert asked
    with database.read() as session:
        failed = list(session.scalars(select(AnalysisRun).where(AnalysisRun.status == AnalysisStatus.FAILED)))
    assert len(failed) == len(asked)
    assert all("answered 401" in row.error_message for row in failed)
