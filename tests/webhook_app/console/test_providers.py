"""AI providers in the console: which one is asked, and whether it answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from ai_vendors import GOOD, VENDORS
from console_client import Console, console
from sinks import Answer, HttpSink
from sqlalchemy import select

from storage import providers
from storage.database import Database
from storage.settings import Settings
from storage.tables import AnalysisRun, AuditEntry, IntelligenceProvider
from storage.vocabulary import AnalysisStatus
from webhook_app.app import create_app

OPENAI = VENDORS["openai"]
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def browser(database: Database, tmp_path: Path) -> Console:
    """Whoever sits at this machine."""
    return console(create_app(Settings(home=tmp_path), database))


def add(database: Database, name: str, kind: str = "local", config: dict[str, Any] | None = None) -> int:
    """A saved provider; its number."""
    with database.write() as session:
        providers.add_provider(session, name=name, provider=kind, config=config or {})
        row = providers.find(session, name)
        assert row
        return row.id


def act(browser: Console, action: str, pk: int) -> str:
    """Do it, confirmed; the page that follows."""
    form = {"action": action, "rowid": str(pk), "confirmed": "1", "url": "/admin/providers/"}
    return str(browser.post("/admin/providers/action/", form, follow_redirects=True).text)


def active(database: Database) -> list[str]:
    with database.read() as session:
        rows = session.scalars(select(IntelligenceProvider.name).where(IntelligenceProvider.is_active))
        return list(rows.all())


def outcomes(database: Database) -> list[str]:
    with database.read() as session:
        return [str(entry) for entry in session.scalars(select(AuditEntry.outcome).order_by(AuditEntry.id))]


def test_a_provider_is_made_active_instead_of_the_other_and_switched_off(
    database: Database, browser: Console
) -> None:
    first, second = add(database, "first"), add(database, "second")

    act(browser, "activate", first)
    page = act(browser, "activate", second)

    assert "1 provider made active: second answers from now on" in page
    assert active(database) == ["second"]

    assert "first is not active" in act(browser, "disable", first)
    assert "the local rules answer from now on" in act(browser, "disable", second)
    assert active(database) == []
    assert outcomes(database) == ["done", "done", "refused", "done"]


def test_a_provider_that_could_not_be_asked_is_not_made_active(database: Database, browser: Console) -> None:
    pk = add(database, "mine", "openai", {"api_key": {"env": "NO_SUCH_VARIABLE"}})

    page = act(browser, "activate", pk)

    assert "NO_SUCH_VARIABLE" in page
    assert active(database) == []
    assert outcomes(database) == ["refused"]


def test_a_test_asks_the_provider_and_tells_what_it_answered(
    database: Database, browser: Console, http_sink: HttpSink
) -> None:
    http_sink.answer_with(OPENAI.answer(json.dumps(GOOD)))
    pk = add(database, "mine", "openai", OPENAI.config(http_sink.url))

    page = act(browser, "test", pk)

    assert "mine answered in " in page
    assert "165 (120 asked, 45 answered)" in page
    assert GOOD["summary"] in page
    with database.read() as session:
        assert session.scalars(select(AnalysisRun.status)).all() == [AnalysisStatus.SUCCEEDED]
    assert outcomes(database) == ["done"]


def test_a_test_that_fails_says_why_and_is_kept_as_failed(
    database: Database, browser: Console, http_sink: HttpSink
) -> None:
    http_sink.answer_with(Answer(401))
    pk = add(database, "mine", "openai", OPENAI.config(http_sink.url))

    page = act(browser, "test", pk)

    assert "Test: failed for 1 provider: mine: " in page
    assert OPENAI.key not in page
    assert outcomes(database) == ["failed"]


@on_one_database
def test_no_page_shows_a_key_and_a_reference_stays_readable(database: Database, browser: Console) -> None:
    other = add(database, "other", "openai", {"api_key": {"env": "MY_KEY"}})
    pk = add(database, "mine", "openai", {"api_key": "planted-secret", "model": "gpt-x"})

    paths = (f"details/?id={pk}", "", "export/csv/")
    pages = {path: browser.get(f"/admin/providers/{path}").text for path in paths}

    assert not any("planted-secret" in page for page in pages.values())
    assert "gpt-x" in pages[paths[0]]
    assert "MY_KEY" in browser.get(f"/admin/providers/details/?id={other}").text


@on_one_database
def test_the_list_says_who_is_asked_now_and_what_of_the_days_tokens_is_used(browser: Console) -> None:
    page = browser.get("/admin/providers/").text

    assert "Who is asked now" in page
    assert "local (local, rules)" in page
    assert "0 used of 1,000,000" in page
