"""What strangers send is shown as text: in no page of the console does any of it run, by whatever way it came."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from browser import serve
from console_client import console
from console_rows import add_console_rows
from databases import fresh_sqlite
from flask import Flask
from hostile import ADDRESS, ALERT, ATTRIBUTE, SCRIPT, TEXT, poison_rows, poisoned_samples
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from storage.database import Database
from storage.settings import Settings
from storage.tables import Alert, Delivery
from tasks.ingest.apply import Arrival, apply
from tasks.ingest.sources import SOURCES, parse
from webhook_app.app import create_app
from webhook_app.console.table_view import TableView
from webhook_app.console.views import VIEWS

PAYLOADS = Path(__file__).parents[2] / "payloads"
NO_PAGE = re.compile(r"\.(static|export|ajax_lookup|ajax_update|create_view|edit_view|delete_view|action_view)$")
# What is read by our own code only, which would rather refuse it: what they are read for has tests of its own.
OURS = frozenset(
    {
        "notification_channels.policy",
        "pipeline_definitions.name",
        "pipeline_definitions.config",
        "pipeline_runs.definition_config",
    }
)
# What is read from an address, by the page that shows it again.
ADDRESSES = [
    *(
        f"/admin/alerts/?{urlencode({name: TEXT})}"
        for name in ("search", "status", "source", "sort", "desc", "after", "since", TEXT)
    ),
    f"/admin/alerts/details/?{urlencode({'id': TEXT})}",
    f"/admin/search/?{urlencode({'q': TEXT})}",
    f"/admin/login/?{urlencode({'next': TEXT})}",
    f"/admin/login/?{urlencode({'next': ADDRESS})}",
    f"/admin/{quote(TEXT)}",
]
# What runs all the same is seen, and also what would have run without the policy of the page.
WATCH = """
window.stopped = [];
document.addEventListener("securitypolicyviolation", (event) => window.stopped.push(event.violatedDirective));
"""
LOOK = """() => {
  const all = [...document.querySelectorAll("*")];
  const outside = [...document.links].filter((link) => link.origin !== location.origin);
  return {
    ran: window.ran ?? null,
    stopped: window.stopped,
    inline: [...document.scripts].filter((script) => !script.src).length,
    handlers: all.filter((each) => each.getAttributeNames().some((name) => /^on/.test(name))).length,
    styles: document.querySelectorAll("[style], style").length,
    broken: document.querySelectorAll("img[src=x]").length,
    schemes: outside.map((link) => link.protocol).filter((scheme) => !/^https?:$/.test(scheme)),
    unguarded: outside.filter((link) => !/noopener/.test(link.rel) || !/noreferrer/.test(link.rel)).length,
  };
}"""
HARMLESS = {
    "ran": None,
    "stopped": [],
    "inline": 0,
    "handlers": 0,
    "styles": 0,
    "broken": 0,
    "schemes": [],
    "unguarded": 0,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    home = tmp_path_factory.mktemp("home")
    with fresh_sqlite(home) as url:
        database = Database(url)
        add_console_rows(database)
        with database.write() as session:
            poison_rows(session, [view.table for view in VIEWS], but=OURS)
        app = create_app(Settings(home=home), database)
        post_all(app)
        ingest_all(database)
        yield app
        database.dispose()


@pytest.fixture
def page(app: Flask, browser: Browser) -> Iterator[Page]:
    """A page that notes what runs, and what tries to."""
    with serve(app) as url, browser.new_context(base_url=url) as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog was opened: {dialog.message}"))
        yield page


def post_all(app: Flask) -> None:
    """Send one body with everything and one of each vendor's, as senders do, and one that nobody can read."""
    client = app.test_client()
    headers = {"User-Agent": TEXT, "X-Trace-Id": SCRIPT, "X-Request-Id": SCRIPT}
    for source, payload in [("generic", ALERT), *poisoned_samples(PAYLOADS)]:
        own = {**headers, "Idempotency-Key": f"{source}{id(payload)}{ATTRIBUTE}"}
        response = client.post(f"/alerts/webhook/{source}/", json=payload, headers=own)
        assert response.status_code == 202, response.text
    unread = client.post("/alerts/webhook/", data=TEXT, headers=headers, content_type="application/json")
    assert unread.status_code == 400


def ingest_all(database: Database) -> None:
    """What the ingest stage does with them, without the flow around it."""
    with database.write() as session:
        is_fresh = Delivery.headers["User-Agent"].as_string() == TEXT
        for delivery in session.scalars(select(Delivery).where(Delivery.source.in_(SOURCES), is_fresh)):
            arrival = Arrival(
                parse(json.loads(delivery.body), source=delivery.source),
                trace_id=delivery.trace_id,
                environment=delivery.environment,
                received_at=delivery.received_at,
            )
            apply(session, [arrival], reopen_window=timedelta(minutes=10))


@pytest.fixture
def alert_pages(app: Flask) -> list[str]:
    with app.extensions["watchkeeper"].database.read() as session:
        alerts = session.execute(select(Alert.id).where(Alert.name.contains(SCRIPT), Alert.source.in_(SOURCES)))
        return [f"/admin/alerts/details/?id={pk}" for (pk,) in alerts]


def look(page: Page, path: str) -> dict[str, object]:
    response = page.goto(path)
    assert response
    found: dict[str, object] = page.evaluate(LOOK)
    return {"path": path, "status": response.status, **found}


def lists(app: Flask) -> list[str]:
    """Every page that needs nothing but its path, or a row."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin/") and not rule.arguments]
    return [
        f"{rule.rule}?id=1"
        for rule in rules
        if "GET" in (rule.methods or ()) and not NO_PAGE.search(rule.endpoint) and "details" not in rule.endpoint
    ]


def details(app: Flask) -> Iterator[str]:
    """The page of the oldest and of the newest row of every table."""
    with app.extensions["watchkeeper"].database.read() as session:
        for view in views(app):
            pk = view.table.id
            for order in (pk, pk.desc()):
                yield f"{view.url}/details/?id={session.scalars(select(pk).order_by(order)).first()}"


def views(app: Flask) -> list[TableView]:
    return [view for view in app.extensions["admin"][0]._views if isinstance(view, TableView)]


def test_nothing_of_an_alert_runs_in_any_page_that_shows_it(app: Flask, page: Page) -> None:
    rows, others = list(details(app)), lists(app)

    seen = [look(page, path) for path in [*rows, *others]]

    statuses = [each.pop("status") for each in seen]
    assert seen == [{"path": path, **HARMLESS} for path in [*rows, *others]]
    # There may be no such thing of that number.
    assert set(statuses[: len(rows)]) == {200}
    assert set(statuses[len(rows) :]) <= {200, 404}


def test_every_vendors_alert_is_shown_as_the_text_that_it_is(page: Page, alert_pages: list[str]) -> None:
    seen = [(look(page, path), page.locator("main").inner_text()) for path in alert_pages]

    assert len(alert_pages) > len(SOURCES)
    assert [each for each, _ in seen] == [{"path": path, "status": 200, **HARMLESS} for path in alert_pages]
    assert all(SCRIPT in text and ATTRIBUTE in text and "{{7*7}}" in text for _, text in seen)


def test_nothing_of_an_address_runs(page: Page) -> None:
    seen = [look(page, path) for path in ADDRESSES]

    assert [{**each, "status": 0} for each in seen] == [
        {"path": path, "status": 0, **HARMLESS} for path in ADDRESSES
    ]
    assert {each["status"] for each in seen} <= {200, 400, 404}


@pytest.mark.parametrize(
    "url", [ADDRESS, "//evil.example/admin/", "/\\evil.example", "https://evil.example/", f"/admin/{ATTRIBUTE}"]
)
def test_way_back_leads_nowhere_else(app: Flask, url: str) -> None:
    person = console(app)
    wish = {"action": "discard", "rowid": "1", "url": url}

    asked = person.post("/admin/deliveries/action/", wish)
    sent_back = person.post("/admin/deliveries/action/", {"rowid": "1", "url": url})

    assert "evil.example" not in asked.text
    assert ADDRESS not in asked.text
    assert ATTRIBUTE not in asked.text
    assert sent_back.headers["Location"].startswith("/admin/")
    assert "<" not in sent_back.headers["Location"]


def test_reason_that_a_person_gives_is_shown_as_text(page: Page) -> None:
    page.goto("/admin/deliveries/?status=quarantined")
    page.get_by_role("checkbox", name=re.compile("Choose Delivery")).first.check()
    page.get_by_role("button", name="Discard").click()

    asked = page.evaluate(LOOK)
    page.get_by_label("Why").fill(TEXT)
    page.get_by_role("button", name="Discard").click()
    page.get_by_text("1 delivery discarded").wait_for()

    assert (asked, page.evaluate(LOOK)) == (HARMLESS, HARMLESS)
    assert look(page, "/admin/audit/") == {"path": "/admin/audit/", "status": 200, **HARMLESS}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.table.__tablename__)
def test_no_cell_of_a_file_is_a_formula(app: Flask, view: type[TableView]) -> None:
    [path] = [f"{each.url}/export/csv/" for each in views(app) if isinstance(each, view)]

    response = console(app).get(path)

    rows = list(csv.reader(io.StringIO(response.text)))
    assert response.status_code == 200
    assert len(rows) > 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
