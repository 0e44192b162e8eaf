"""What a row's page names leads on: a trace, a fingerprint or a host to everything that belongs to it."""

from pathlib import Path

import pytest
from console_client import Console, console
from rows import add_alert, add_delivery
from sqlalchemy import select

from storage.database import Database
from storage.settings import Settings
from storage.tables import Delivery
from webhook_app.app import create_app


@pytest.fixture
def page(database: Database, tmp_path: Path) -> Console:
    return console(create_app(Settings(home=tmp_path), database))


def test_a_trace_leads_to_all_that_the_search_finds_by_it(page: Console, database: Database) -> None:
    with database.write() as session:
        add_delivery(session, trace_id="a trace & more")
        pk = session.scalars(select(Delivery.id)).one()

    shown = page.get(f"/admin/deliveries/details/?id={pk}").text

    assert '<a href="/admin/search/?q=a+trace+%26+more">a trace &amp; more</a>' in shown


def test_an_alerts_fingerprint_and_host_lead_there_and_what_is_missing_leads_nowhere(
    page: Console, database: Database
) -> None:
    with database.write() as session:
        pk = add_alert(session, fingerprint="f1", hostname="", trace_id="t1").id
        of_host = add_alert(session, hostname="db-1").id

    hostless = page.get(f"/admin/alerts/details/?id={pk}").text
    shown = page.get(f"/admin/alerts/details/?id={of_host}").text

    assert '"/admin/search/?q=f1"' in hostless
    assert '"/admin/search/?q="' not in hostless
    assert '"/admin/search/?q=db-1"' in shown
