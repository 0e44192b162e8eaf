"""The audit as pages: who did what, found by who, what, how it ended and when."""

from datetime import timedelta
from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_alert

from storage import audit
from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry
from storage.tables.base import utc_now
from storage.vocabulary import AuditOutcome
from webhook_app.app import create_app

XSS = "<script>alert(1)</script>"


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Console:
    with database.write() as session:
        alert = add_alert(session)
        audit.record(session, actor="Ann", action="resolve", object_type="alerts", object_id=alert.id, detail=XSS)
        audit.record(session, actor="command", action="add user", object_type="users", object_id=1)
        audit.record(session, actor="Ben", action="sign in", outcome=AuditOutcome.REFUSED, address="192.0.2.1")
        old = utc_now() - timedelta(days=3)
        session.add(AuditEntry(at=old, actor="Ann", action="sign in", outcome=AuditOutcome.DONE))
    return console(create_app(Settings(home=tmp_path), database))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", 4),
        ("actor=Ann", 2),
        ("action=sign+in", 2),
        ("outcome=refused", 1),
        ("outcome=refused,done", 4),
        ("since=1h", 3),
        ("actor=Ann&since=1h", 1),
        ("search=Ann", 2),
    ],
)
def test_entries_are_found_by_who_what_how_and_when(here: Console, asked: str, found: int) -> None:
    page = here.get(f"/admin/audit/?{asked}").text

    assert page.count('name="rowid"') == 0
    assert page.count("/admin/audit/details/?id=") == found


def test_entry_links_to_what_it_was_done_to_where_that_has_a_page(here: Console) -> None:
    page = here.get("/admin/audit/").text

    assert '<a href="/admin/alerts/details/?id=1">alert 1</a>' in page
    assert "user 1" in page
    assert "/users/" not in page


def test_page_and_file_of_an_entry_hold_everything_and_run_nothing(here: Console) -> None:
    details = here.get("/admin/audit/details/?id=3").text
    shown = here.get("/admin/audit/details/?id=1").text
    file = here.get("/admin/audit/export/csv/").text

    assert "192.0.2.1" in details
    assert XSS not in shown
    assert "&lt;script&gt;" in shown
    assert file.splitlines()[0] == "Id,At,Actor,Action,To what,Number,Outcome,Detail,Address"
    assert len(file.splitlines()) == 5


def test_wrong_filter_is_named(here: Console) -> None:
    response = here.get("/admin/audit/?outcome=perhaps")

    assert response.status_code == 400
    assert "outcome" in response.text
