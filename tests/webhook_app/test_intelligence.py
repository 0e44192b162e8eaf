"""`/intelligence/`: who analyses, and advice on request."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from flask.testing import FlaskClient
from hung_mount import hung_mount
from rows import add_alert, add_incident
from sinks import HttpSink
from sqlalchemy import func, select

from storage import analyses, providers, settings
from storage.analyses import AnalysisOrder
from storage.database import Database
from storage.records import Analysis, CheckResult
from storage.tables import AnalysisRun
from storage.tables.base import utc_now
from storage.vocabulary import CheckStatus, FailureKind
from tasks.analyze import host_advice
from tasks.analyze.providers import PROVIDERS
from tasks.check.apart import Measured
from webhook_app import places
from webhook_app.app import create_app

OPENAI = VENDORS["openai"]
RECOMMENDATIONS = "/intelligence/recommendations/"
MEASURING = (RECOMMENDATIONS, "/intelligence/memory/", "/intelligence/disk/")
WEBHOOK = "/alerts/webhook/generic/?pipeline=direct"
# What is the same whatever the database is.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def door(tmp_path: Path) -> FlaskClient:
    """An app without its database: what is refused is refused before that is asked."""
    return create_app(settings.load(), Database(f"sqlite:///{tmp_path / 'no-such-folder' / 'x.db'}")).test_client()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A host whose memory is full, read without the process that measures. Holds what was read."""
    read: list[Sequence[str]] = []

    def measure(names: Sequence[str], _configs: Mapping[str, Any], *, within_seconds: float) -> Measured:
        assert 0 < within_seconds <= 30
        read.append(names)
        full = CheckResult(checker_name="memory", status=CheckStatus.CRITICAL, message="Memory 97 % used")
        return Measured(results=[full], evidence={"hostname": socket.gethostname()})

    monkeypatch.setattr(host_advice, "measure", measure)
    return read


@pytest.fixture
def vendor() -> Iterator[HttpSink]:
    """A vendor that gives a good answer."""
    with HttpSink(default=OPENAI.answer(json.dumps(GOOD))) as sink:
        yield sink


def save(database: Database, config: Mapping[str, Any], *, name: str = "prod", is_active: bool = True) -> None:
    with database.write() as session:
        providers.add_provider(session, name=name, provider="openai", config=config)
        if is_active:
            providers.activate(session, name)


def make_incident(database: Database, host: str = "db-99") -> int:
    with database.write() as session:
        incident = add_incident(session, title="Memory is short")
        add_alert(session, incident_id=incident.id, name="Memory is short", labels={"instance": host})
        return incident.id


def order(provider: str, incident_id: int | None = None) -> AnalysisOrder:
    return AnalysisOrder(provider, {}, incident_id, "", "", utc_now())


def count_rows(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(AnalysisRun)) or 0


class TestHealth:
    def test_nothing_saved_is_healthy_because_the_local_rules_need_nothing(self, client: FlaskClient) -> None:
        form = client.get("/intelligence/health/").json

        assert (form["status"], form["problems"]) == ("ok", [])
        assert form["provider"] == {"name": "local", "provider": "local", "model": "rules"}
        assert (form["last_success"], form["last_failure"]) == (None, None)
        assert (form["is_extra_installed"], form["fallback_enabled"]) == (True, True)

    def test_active_provider_is_named_with_its_cost_and_how_it_went_and_not_asked(
        self, client: FlaskClient, database: Database, vendor: HttpSink
    ) -> None:
        save(database, OPENAI.config(vendor.url))
        with database.write() as session:
            analyses.add_failed(session, order("openai"), "PermanentError: answered 401 to password=hunter2")
            analyses.add_succeeded(session, order("local"), Analysis(summary="x"), completed_at=utc_now())
            pk = analyses.begin(session, order("openai"), most_tokens=500, daily_tokens=0)
            analyses.succeed(session, pk, Analysis(summary="x", model_name="m", total_tokens=300))
            again = Analysis(summary="again", model_name="m")
            analyses.add_succeeded(
                session, order("openai"), again, completed_at=utc_now(), cached_from_id=pk
            ).model_name = "cached"

        form = client.get("/intelligence/health/").json

        assert (form["status"], form["provider"]["name"]) == ("ok", "prod")
        assert form["provider"]["model"] == "gpt-4o-mini"
        assert form["budget"] == {"used_today": 300, "daily": 1_000_000, "left": 999_700}
        assert form["last_success"]["model_name"] == "m"
        assert form["last_success"]["at"]
        assert form["last_failure"]["error"] == "PermanentError: answered 401 to password=***"
        assert vendor.requests == []

    @on_one_database
    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ({"api_key": {"env": "NO_SUCH_KEY"}}, "api_key: environment variable 'NO_SUCH_KEY' is not set"),
            ({"api_key": "hunter2", "modle": "x"}, "provider 'openai': unknown key modle; "),
            ({"api_key": {"prefect": "block"}, "modle": "x"}, "provider 'openai': unknown key modle; "),
        ],
    )
    def test_config_that_cannot_be_used_is_named_without_a_secret(
        self, client: FlaskClient, database: Database, config: dict[str, Any], problem: str
    ) -> None:
        save(database, config)

        response = client.get("/intelligence/health/")

        assert response.status_code == 200
        [said] = response.json["problems"]
        assert problem in said
        assert response.json["status"] == "degraded"
        assert "hunter2" not in response.text

    @pytest.mark.parametrize(
        ("daily", "problems"), [("10", ["the day's tokens are spent until 00:00 UTC"]), ("11", []), ("0", [])]
    )
    def test_spent_budget_of_today_is_a_problem(
        self,
        client: FlaskClient,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
        daily: str,
        problems: list[str],
    ) -> None:
        monkeypatch.setenv("WATCHKEEPER_AI_DAILY_TOKENS", daily)
        with database.write() as session:
            yesterday = analyses.begin(session, order("openai"), most_tokens=90, daily_tokens=0)
            session.get_one(AnalysisRun, yesterday).created_at = utc_now() - timedelta(days=1, seconds=1)
            analyses.begin(session, order("openai"), most_tokens=10, daily_tokens=0)

        form = client.get("/intelligence/health/").json

        assert form["problems"] == problems
        left = max(int(daily) - 10, 0) if int(daily) else None
        assert form["budget"] == {"used_today": 10, "daily": int(daily) or None, "left": left}

    @on_one_database
    def test_secret_that_prefect_keeps_is_not_fetched(self, client: FlaskClient, database: Database) -> None:
        save(database, {"api_key": {"prefect": "no-such-block"}})

        form = client.get("/intelligence/health/").json

        assert (form["status"], form["provider"]["model"]) == ("ok", "gpt-4o-mini")

    @on_one_database
    def test_missing_extra_is_a_problem_of_ai_providers(
        self, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pydantic_ai", None)
        before = client.get("/intelligence/health/").json
        save(database, {"api_key": "x"})

        form = client.get("/intelligence/health/").json

        assert (before["status"], before["is_extra_installed"]) == ("ok", False)
        assert form["problems"] == ["it needs the extra watchkeeper[ai]"]

    @on_one_database
    @pytest.mark.parametrize(
        ("kind", "problem"),
        [
            (None, "it failed when it was last asked"),
            (FailureKind.KEY_REFUSED, "it failed when it was last asked: it refused the key"),
            (FailureKind.BUDGET_SPENT, "the day's tokens are spent until 00:00 UTC"),
        ],
    )
    def test_last_failure_is_a_problem_until_the_next_success(
        self, client: FlaskClient, database: Database, kind: FailureKind | None, problem: str
    ) -> None:
        save(database, {"api_key": "x"})
        with database.write() as session:
            analyses.add_failed(session, order("openai"), "no", kind=kind)

        form = client.get("/intelligence/health/").json

        assert form["problems"] == [problem]
        assert form["last_failure"]["kind"] == kind

    @on_one_database
    def test_budget_that_did_not_suffice_yesterday_is_no_lasting_problem(
        self, client: FlaskClient, database: Database
    ) -> None:
        save(database, {"api_key": "x"})
        with database.write() as session:
            row = analyses.add_failed(session, order("openai"), "spent", kind=FailureKind.BUDGET_SPENT)
            row.created_at = utc_now() - timedelta(days=1, seconds=1)

        assert client.get("/intelligence/health/").json["problems"] == []


def test_providers_are_the_registry_and_what_is_saved_without_secrets(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    save(database, {"api_key": "hunter2", "base_url": "https://u:hunter2@gateway/v1", "model": "gpt-5"})
    save(database, {"api_key": {"env": "SPARE"}}, name="spare", is_active=False)

    response = client.get("/intelligence/providers/")

    kinds = {each["provider"]: each for each in response.json["providers"]}
    assert list(kinds) == list(PROVIDERS)
    assert kinds["openai"] == {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "needs_key": True,
        "key_variable": "OPENAI_API_KEY",
        "is_key_set": True,
        "is_installed": True,
    }
    assert (kinds["local"]["needs_key"], kinds["local"]["is_key_set"]) == (False, False)
    first, second = response.json["saved"]
    assert (first["name"], first["is_active"], first["config"]["model"]) == ("prod", True, "gpt-5")
    assert (second["is_active"], second["config"]) == (False, {"api_key": {"env": "SPARE"}})
    assert "hunter2" not in response.text


@on_one_database
@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (RECOMMENDATIONS, {"cpu", "memory", "disk"}),
        (f"{RECOMMENDATIONS}?provider=local", {"cpu", "memory", "disk"}),
        ("/intelligence/memory/", {"memory", "swap_io"}),
        ("/intelligence/disk/", {"disk", "disk_inodes", "disk_common", "disk_linux"}),
    ],
)
def test_get_tells_what_the_local_rules_say_of_this_host(
    client: FlaskClient, readings: list[Sequence[str]], url: str, parts: set[str]
) -> None:
    response = client.get(url)

    form = response.json
    assert response.status_code == 200
    assert (form["provider"], form["incident_id"], form["count"]) == ("local", None, 1)
    assert form["recommendations"][0]["type"] == "memory"
    assert "Memory 97 % used" in form["summary"]
    assert parts <= set(readings[0])


@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize("url", MEASURING)
def test_get_asks_no_active_provider_and_stores_nothing(
    client: FlaskClient, database: Database, vendor: HttpSink, url: str
) -> None:
    save(database, OPENAI.config(vendor.url))

    form = client.get(url).json

    assert (vendor.requests, form["provider"]) == ([], "local")
    assert count_rows(database) == 0


def test_get_gives_an_incidents_newest_answer_and_asks_nobody(
    client: FlaskClient, database: Database, vendor: HttpSink, readings: list[Sequence[str]]
) -> None:
    incident_id = make_incident(database)
    save(database, OPENAI.config(vendor.url))
    asked = client.post(RECOMMENDATIONS, json={"incident_id": incident_id}).json

    newest = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}").json
    by_openai = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}&provider=openai").json
    by_rules = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}&provider=local")

    assert (newest["provider"], newest["summary"]) == ("openai", GOOD["summary"])
    assert newest["ai_output_ref"] == by_openai["ai_output_ref"] == asked["ai_output_ref"]
    assert newest["total_tokens"] == asked["total_tokens"] > 0
    assert by_rules.json["provider"] == "local"
    assert len(vendor.requests) == 1
    assert readings == []


def test_get_without_a_stored_answer_is_answered_by_the_local_rules_or_says_that_nobody_was_asked(
    client: FlaskClient, database: Database, vendor: HttpSink, readings: list[Sequence[str]]
) -> None:
    incident_id = make_incident(database, host=socket.gethostname())
    save(database, OPENAI.config(vendor.url))

    by_openai = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}&provider=openai")
    by_anybody = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}")

    assert by_openai.status_code == 404
    assert "openai has not answered about this incident; a POST asks it" in by_openai.json["error"]
    assert (by_anybody.json["provider"], by_anybody.json["incident_id"]) == ("local", incident_id)
    assert by_anybody.json["confidence"] == 0.8
    assert count_rows(database) == 0
    assert len(readings) == 1
    assert vendor.requests == []


@pytest.mark.usefixtures("readings")
@on_one_database
def test_post_asks_the_provider_of_that_kind_anew(
    client: FlaskClient, database: Database, vendor: HttpSink
) -> None:
    incident_id = make_incident(database)
    save(database, OPENAI.config(vendor.url), is_active=False)

    local = client.post(RECOMMENDATIONS, json={"incident_id": incident_id}).json
    asked = client.post(RECOMMENDATIONS, json={"incident_id": incident_id, "provider": "openai"}).json

    assert (local["provider"], asked["provider"]) == ("local", "openai")
    assert (asked["fallback_used"], asked["provider_error"], asked["is_cached"]) == (False, "", False)
    assert asked["recommendations"][0]["actions"] == GOOD["recommendations"][0]["actions"]
    assert "Memory is short" in OPENAI.asked(vendor.requests[0])


@on_one_database
def test_post_without_a_body_asks_the_active_provider_about_this_host(
    client: FlaskClient, database: Database, vendor: HttpSink, readings: list[Sequence[str]]
) -> None:
    save(database, OPENAI.config(vendor.url))

    form = client.post(RECOMMENDATIONS).json

    assert (form["provider"], form["incident_id"]) == ("openai", None)
    assert len(readings) == 1
    assert "Memory 97 % used" in OPENAI.asked(vendor.requests[0])


@pytest.mark.parametrize("run_id", ["run-1", ""])
def test_get_tells_why_the_local_rules_stood_in(client: FlaskClient, database: Database, run_id: str) -> None:
    incident_id, other_id = make_incident(database), make_incident(database)

    def asked(provider: str, about: int, trace_id: str = "trace-1") -> AnalysisOrder:
        return AnalysisOrder(
            provider, {}, about, run_id if trace_id == "trace-1" else "run-0", trace_id, utc_now()
        )

    with database.write() as session:
        analyses.add_failed(session, asked("grok", incident_id, "trace-0"), "of an earlier run")
        refused = "PermanentError: answered 401: password=hunter2"
        analyses.add_failed(session, asked("openai", incident_id), refused, kind=FailureKind.KEY_REFUSED)
        analyses.add_failed(session, asked("mistral", other_id), "of another incident")
        given = Analysis(summary="x")
        for about in (asked("local", other_id), asked("local", incident_id)):
            analyses.add_succeeded(session, about, given, completed_at=utc_now(), fallback_used=True)
        analyses.add_failed(session, asked("gemini", incident_id), "later")

    form = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}").json

    assert form["provider_error"] == "PermanentError: answered 401: password=***"
    assert (form["instead_of"], form["failure"], form["fallback_used"]) == ("openai", "key_refused", True)


@on_one_database
def test_get_tells_why_nobody_was_asked(client: FlaskClient, database: Database) -> None:
    incident_id, kind = make_incident(database), FailureKind.TOO_MANY_INCIDENTS
    with database.write() as session:
        given = Analysis(summary="x")
        analyses.add_succeeded(
            session,
            order("local", incident_id),
            given,
            completed_at=utc_now(),
            fallback_used=True,
            reason="the eleventh",
            kind=kind,
        )

    form = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}").json

    assert (form["provider_error"], form["instead_of"], form["failure"]) == ("the eleventh", "", kind)


@on_one_database
def test_answer_of_a_provider_has_no_failure_though_an_earlier_try_failed(
    client: FlaskClient, database: Database
) -> None:
    incident_id = make_incident(database)
    with database.write() as session:
        analyses.add_failed(session, order("openai", incident_id), "first", kind=FailureKind.OVERLOADED)
        analyses.add_succeeded(
            session, order("openai", incident_id), Analysis(summary="x"), completed_at=utc_now()
        )

    form = client.get(f"{RECOMMENDATIONS}?incident_id={incident_id}").json

    assert (form["provider_error"], form["instead_of"], form["failure"]) == ("", "", None)


@pytest.mark.parametrize(("fallback", "status"), [("true", 200), ("false", 502)])
@on_one_database
def test_failing_provider_is_told_and_the_local_rules_stand_in_unless_that_is_forbidden(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch, fallback: str, status: int
) -> None:
    monkeypatch.setenv("ORCHESTRATION_INTELLIGENCE_FALLBACK_ENABLED", fallback)
    incident_id = make_incident(database)
    with HttpSink([OPENAI.error(500, f"no luck with {OPENAI.key}")]) as sink:
        save(database, OPENAI.config(sink.url))

        response = client.post(RECOMMENDATIONS, json={"incident_id": incident_id})

    assert response.status_code == status
    said = response.json["provider_error"] if status == 200 else response.json["error"]
    assert "127.0.0.1 answered 500: no luck with ***" in said
    assert response.json.get("fallback_used", True) is True
    assert OPENAI.key not in response.text
    assert count_rows(database) == (2 if status == 200 else 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("incident=1", "unknown parameter incident; known: incident_id, provider"),
        ("incident_id=x", "incident_id: a whole number"),
        ("incident_id=0", "incident_id: a whole number"),
        ("incident_id=1&incident_id=2", "incident_id: given more than once"),
        ("incident_id=1&provider=nobody", "provider: one of local, "),
        ("provider=openai", "provider: needs incident_id"),
    ],
)
def test_wrong_parameter_is_named(door: FlaskClient, query: str, words: str) -> None:
    response = door.get(f"{RECOMMENDATIONS}?{query}")

    assert response.status_code == 400
    assert words in response.json["error"]


@pytest.mark.parametrize("path", ["health", "providers", "memory", "disk"])
def test_parameter_that_would_be_left_out_is_refused(door: FlaskClient, path: str) -> None:
    assert door.get(f"/intelligence/{path}/?deep=1").status_code == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"incident_id": "1"}, "incident_id: "),
        ({"incident_id": 0}, "incident_id: "),
        ({"incident_id": 2**63}, "incident_id: "),
        ({"provider": "nobody"}, "provider: one of local, "),
        ({"provider": 1}, "provider: "),
        ({"prompt": "obey"}, "prompt: unknown; known: incident_id, provider"),
        ([], "must be a JSON object"),
    ],
)
def test_wrong_field_is_named(door: FlaskClient, body: object, words: str) -> None:
    response = door.post(RECOMMENDATIONS, json=body)

    assert response.status_code == 400
    assert words in response.json["error"]


def test_web_page_elsewhere_cannot_ask(door: FlaskClient) -> None:
    as_form = door.post(RECOMMENDATIONS, data="{}", content_type="text/plain")
    as_page = door.post(RECOMMENDATIONS, headers={"Origin": "https://example.org"})

    assert (as_form.status_code, as_page.status_code) == (415, 401)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_web_page_elsewhere_cannot_have_anything_measured_by_embedding_it(door: FlaskClient, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}

    answers = [*(door.get(url, headers=headers) for url in MEASURING), door.post(RECOMMENDATIONS, headers=headers)]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert f"web page elsewhere (Sec-Fetch-Site: {site})" in answers[0].json["error"]


@on_one_database
@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_own_address_bar_may_ask_and_a_link_elsewhere_may_lead_to_what_only_tells(
    client: FlaskClient, readings: list[Sequence[str]], site: str
) -> None:
    asked = client.get("/intelligence/memory/", headers={"Sec-Fetch-Site": site})
    followed = client.get("/intelligence/health/", headers={"Sec-Fetch-Site": "cross-site"})

    assert (asked.status_code, followed.status_code, len(readings)) == (200, 200, 1)


@on_one_database
@pytest.mark.usefixtures("readings")
def test_bearer_of_the_token_may_ask_from_anywhere(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "t" * 40)
    client = create_app(settings.load(), database).test_client()
    headers = {"Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {'t' * 40}"}

    response = client.get("/intelligence/memory/", headers=headers)

    assert response.status_code == 200


@on_one_database
def test_unknown_incident_is_404(client: FlaskClient) -> None:
    assert client.get(f"{RECOMMENDATIONS}?incident_id=77").status_code == 404
    assert client.post(RECOMMENDATIONS, json={"incident_id": 77}).status_code == 404


@pytest.mark.parametrize("path", ["health/", "providers/", "recommendations/?incident_id=1"])
def test_database_that_is_away_is_503(door: FlaskClient, path: str) -> None:
    response = door.get(f"/intelligence/{path}")

    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_everything_needs_the_api_token(tmp_path: Path) -> None:
    current = settings.load().model_copy(update={"api_token": "t0ken"})
    client = create_app(current, Database(f"sqlite:///{tmp_path / 'x.db'}")).test_client()

    answers = [client.get(url) for url in (*MEASURING, "/intelligence/health/", "/intelligence/providers/")]

    assert {answer.status_code for answer in [*answers, client.post(RECOMMENDATIONS)]} == {401}


@on_one_database
def test_settings_that_keep_it_from_measuring_are_named(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"memory": {"warning_treshold": 5}}')

    response = client.get("/intelligence/memory/")

    assert response.status_code == 500
    assert "WATCHKEEPER_CHECKERS: checker memory: unknown config key" in response.json["error"]


@on_one_database
def test_third_who_wants_advice_is_put_off_while_webhooks_and_readers_are_served(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def measure(*_names: object, **_bounds: object) -> Measured:
        begun.release()
        assert may_end.wait(30)
        return Measured(results=[], evidence={})

    monkeypatch.setattr(host_advice, "measure", measure)
    monkeypatch.setattr(places, "READERS", places.ADVISERS)  # who waits for advice gives such a place back
    client = create_app(settings.load(), database).test_client()
    with ThreadPoolExecutor(2) as people:
        waiting = [people.submit(client.application.test_client().get, url) for url in MEASURING[:2]]
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)

        third, asker = client.get("/intelligence/disk/"), client.post(RECOMMENDATIONS)
        webhook = client.post(WEBHOOK, json={"name": "x"})
        reader = client.get("/intelligence/health/")
        may_end.set()

    assert (third.status_code, asker.status_code) == (503, 503)
    assert int(third.headers["Retry-After"]) > 0
    assert (webhook.status_code, reader.status_code) == (202, 200)
    assert [each.result().status_code for each in waiting] == [200, 200]
    assert client.get("/intelligence/disk/").status_code == 200


@on_one_database
def test_hung_mount_keeps_nobody_waiting_for_long(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {"disk": {"timeout": 0.5}, "disk_inodes": {"timeout": 0.5}}
    with hung_mount() as path:
        scan = {"paths": [str(path)], "max_seconds": 0.1, "timeout": 0.5}
        monkeypatch.setenv("WATCHKEEPER_CHECKERS", json.dumps({**configs, "disk_common": scan}))
        started = time.monotonic()

        response = client.get("/intelligence/disk/")

    assert response.status_code == 200
    assert str(path) in response.text
    assert time.monotonic() - started < 20
