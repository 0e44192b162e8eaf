"""A secret that a sender wrote where none belongs is on no page that names its row."""

from pathlib import Path

from console_client import console
from console_rows import add_console_rows
from sqlalchemy import select, update

from storage.database import Database
from storage.settings import Settings
from storage.tables import Alert, AlertHistory, Incident
from webhook_app.app import create_app

HIDDEN = "hunter2hunter2"
LISTS = ("incidents", "alerts", "alert-history", "deliveries", "runs", "stages", "checks", "audit")


def test_names_and_details_lose_their_secrets_wherever_they_are_linked(database: Database, tmp_path: Path) -> None:
    add_console_rows(database)
    with database.write() as session:
        session.execute(update(Alert).values(name=f"login password={HIDDEN}"))
        session.execute(update(Incident).values(title=f"login password={HIDDEN}"))
        session.execute(update(AlertHistory).values(details={"password": HIDDEN}))
        numbers = list(session.scalars(select(Incident.id)))
    here = console(create_app(Settings(home=tmp_path), database))

    paths = [
        "/admin/",
        "/admin/search/?q=db-03.example.net",
        *(f"/admin/{name}/" for name in LISTS),
        *(f"/admin/{name}/export/csv/" for name in LISTS),
        *(f"/admin/{name}/details/?id={number}" for name in LISTS for number in numbers),
    ]
    answers = {path: here.get(path) for path in paths}

    assert {answer.status_code for answer in answers.values()} <= {200, 404}
    assert [path for path, answer in answers.items() if HIDDEN in answer.text] == []
