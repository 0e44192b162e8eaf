"""Definitions in the console: looked at, written, switched, tried and run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from console_client import Console, console
from rows import add_delivery
from sqlalchemy import func, select
from werkzeug.security import generate_password_hash

from storage import definitions, routes, users
from storage.database import Database
from storage.settings import Settings
from storage.tables import Alert, AuditEntry, Delivery, PipelineDefinition, PipelineRun
from storage.vocabulary import Role
from tasks.definition.library import save_presets
from webhook_app.app import create_app

LIST = "/admin/definitions/"
NODES = [
    {"id": "take", "type": "ingest", "next": "tell"},
    {"id": "tell", "type": "notify", "when": 'severity == "critical"', "config": {"channels": ["ops"]}},
]
CONFIG: dict[str, Any] = {"version": "1.0", "nodes": NODES}
ALERT = b'{"name": "Disk full", "severity": "critical"}'


@pytest.fixture
def page(database: Database, tmp_path: Path) -> Console:
    """A browser at the console, with the presets and one definition of our own."""
    with database.write() as session:
        save_presets(session)
        definitions.save(session, name="mine", config=CONFIG, created_by="ann")
    return console(create_app(Settings(home=tmp_path), database))


@pytest.fixture
def mine(page: Console, database: Database) -> int:  # noqa: ARG001  (which saves it)
    """The number of the definition of our own."""
    return number(database, "mine")


def number(database: Database, name: str) -> int:
    """The number of a definition."""
    with database.read() as session:
        return session.scalars(select(PipelineDefinition.id).where(PipelineDefinition.name == name)).one()


def saved(database: Database, name: str = "mine") -> PipelineDefinition:
    """A definition as it is stored."""
    with database.read() as session:
        row = definitions.find(session, name)
    assert row is not None
    return row


def entries(database: Database) -> list[tuple[str, str, str]]:
    """What the audit holds: action, outcome, detail."""
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.action, row.outcome, row.detail) for row in rows]


def form(**given: str) -> dict[str, str]:
    """A filled-in editor."""
    fields = {
        "name": "mine",
        "description": "",
        "tags": "",
        "text": json.dumps(CONFIG),
        "version": "1",
        "do": "save",
    }
    return fields | given


def test_list_tells_presets_from_own_ones_with_their_last_run(
    page: Console, mine: int, database: Database
) -> None:
    page.post(f"{LIST}run/?id={mine}")

    text = page.get(LIST).text

    row = re.search(r'<tr role="row">(?:(?!</tr>).)*>mine</a>.*?</tr>', text, re.DOTALL)
    assert row is not None
    assert ">own<" in row[0]
    assert "PENDING" in row[0]
    assert text.count(">preset<") == 6
    assert saved(database, "direct").name == "direct"


def test_page_shows_graph_warnings_routes_versions_and_hides_secrets(
    page: Console, mine: int, database: Database
) -> None:
    with database.write() as session:
        routes.save(session, rules=[{"name": "db", "pipeline": "mine"}])
        nodes = [NODES[0], {**NODES[1], "config": {"channels": ["ops"], "token": "s3cret-value"}}]
        definitions.save(session, name="mine", config={**CONFIG, "nodes": nodes}, created_by="ben")

    text = page.get(f"{LIST}details/?id={mine}").text

    assert "rule 1 (db)" in text
    assert "config.token: unknown key" in text
    assert "when severity ==" in text
    assert "s3cret-value" not in text
    assert f"version/?id={mine}&amp;version=2&amp;against=1" in text


def test_old_version_and_the_difference_to_it_can_be_seen(page: Console, mine: int, database: Database) -> None:
    with database.write() as session:
        definitions.save(session, name="mine", config={"nodes": [NODES[0] | {"next": None}]}, created_by="ben")

    old = page.get(f"{LIST}details/?id={mine}&version=1", follow_redirects=True).text
    both = page.get(f"{LIST}version/?id={mine}&version=2&against=1").text

    assert "mine, version 1" in old
    assert 'class="line-removed">-      &#34;next&#34;: &#34;tell&#34;' in both
    assert page.get(f"{LIST}version/?id={mine}&version=9").status_code == 404
    assert page.get(f"{LIST}version/?id={mine}&version={2**62}").status_code == 404


def test_what_is_saved_is_a_new_version_and_stands_in_the_audit(
    page: Console, mine: int, database: Database
) -> None:
    text = json.dumps({"nodes": [{"id": "take", "type": "ingest"}]})

    answer = page.post(f"{LIST}edit/?id={mine}", form(text=text, description="Only takes in", tags="a, b, a"))

    row = saved(database)
    assert answer.status_code == 302
    assert (row.version, row.description, row.tags, row.created_by) == (2, "Only takes in", ["a", "b"], "local")
    assert entries(database) == [("edit", "done", "mine, version 2")]


def test_every_fault_is_shown_with_its_line_and_the_text_is_kept(
    page: Console, mine: int, database: Database
) -> None:
    wrong = {"nodes": [{"id": "a", "type": "ingest", "next": "b"}, {"id": "b", "type": "post", "retries": 3}]}
    text = json.dumps(wrong, indent=1)

    answer = page.post(f"{LIST}edit/?id={mine}", form(text=text))

    assert answer.status_code == 400
    assert "unknown type &#39;post&#39;" in answer.text
    assert "retries: unknown key" in answer.text
    assert 'data-line="9"' in answer.text
    assert "&#34;retries&#34;: 3" in answer.text
    assert saved(database).version == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"nodes": [\n  {"id": "a",}\n]}', "line 2, column 14"),
        ('{"nodes": [],\n "nodes": []}', "it stands twice in one object"),
        ("[" * 100_000, "this is not JSON"),
        ("[]", "must be a JSON object"),
        ("", "this is not JSON"),
        ('{"nodes": NaN}', "nodes: it must be a list"),
    ],
    ids=["comma", "twice", "deep", "list", "empty", "nan"],
)
def test_text_that_is_no_definition_is_refused_with_its_place(
    page: Console, mine: int, database: Database, text: str, says: str
) -> None:
    answer = page.post(f"{LIST}edit/?id={mine}", form(text=text))

    assert answer.status_code == 400
    assert says in answer.text
    assert saved(database).version == 1


def test_what_somebody_saved_in_between_is_shown_and_only_then_replaced(
    page: Console, mine: int, database: Database
) -> None:
    with database.write() as session:
        definitions.save(
            session, name="mine", config={"nodes": [{"id": "theirs", "type": "ingest"}]}, created_by="ben"
        )

    late = page.post(f"{LIST}edit/?id={mine}", form())
    again = page.post(f"{LIST}edit/?id={mine}", form(version="2"))

    assert late.status_code == 409
    assert "ben saved version 2 while you edited version 1" in late.text
    assert "theirs" in late.text
    assert 'name="version" value="2"' in late.text
    assert again.status_code == 302
    assert saved(database).version == 3
    assert [outcome for _, outcome, _ in entries(database)] == ["refused", "done"]


def test_hidden_secret_is_not_saved_over_the_real_one(page: Console, mine: int, database: Database) -> None:
    nodes = [{"id": "think", "type": "intelligence", "config": {"provider_config": {"api_key": "sk-real-1234"}}}]
    with database.write() as session:
        definitions.save(session, name="mine", config={"nodes": nodes})

    shown = page.get(f"{LIST}edit/?id={mine}").text
    nodes[0]["config"] = {"provider_config": {"api_key": "***"}}
    answer = page.post(f"{LIST}edit/?id={mine}", form(version="2", text=json.dumps({"nodes": nodes})))

    assert "sk-real-1234" not in shown
    assert "stands for a secret" in answer.text
    assert saved(database).version == 2


def test_new_definition_is_made_renamed_switched_off_and_deleted(page: Console, database: Database) -> None:
    taken = page.post(f"{LIST}new/", form(name="direct", version=""))
    page.post(f"{LIST}new/", form(name="team-a", version=""))
    pk = number(database, "team-a")
    page.post(f"{LIST}edit/?id={pk}", form(name="team-b"))
    page.post(f"{LIST}action/", {"action": "disable", "rowid": str(pk), "confirmed": "1"})

    assert "there is a definition &#39;direct&#39; already" in taken.text
    assert saved(database, "team-b").is_active is False
    page.post(f"{LIST}action/", {"action": "delete", "rowid": str(pk), "confirmed": "1"})
    with database.read() as session:
        assert definitions.find(session, "team-b") is None
    assert [action for action, _, _ in entries(database)] == ["edit", "edit", "edit", "disable", "delete"]


def test_what_the_routes_name_and_presets_are_not_taken_away(page: Console, mine: int, database: Database) -> None:
    with database.write() as session:
        routes.save(session, rules=[{"name": "db", "pipeline": "mine"}])
    preset = number(database, "health-checked")

    needed = page.post(
        f"{LIST}action/", {"action": "disable", "rowid": str(mine), "confirmed": "1"}, follow_redirects=True
    )
    shipped = page.post(
        f"{LIST}action/", {"action": "delete", "rowid": str(preset), "confirmed": "1"}, follow_redirects=True
    )
    blind = page.post(f"{LIST}edit/?id={mine}", form(text=json.dumps({"nodes": [{"id": "x", "type": "notify"}]})))

    assert "rule 1 (db)" in needed.text
    assert "a preset comes back with the next start" in shipped.text
    assert (blind.status_code, "rule 1 (db)" in blind.text) == (409, True)
    assert (saved(database).is_active, saved(database).version) == (True, 1)


def test_dry_run_says_what_would_come_of_a_delivery_and_keeps_nothing(
    page: Console, mine: int, database: Database
) -> None:
    with database.write() as session:
        add_delivery(session, body=ALERT)

    text = page.post(f"{LIST}try/?id={mine}", {"delivery": "1"}).text

    assert "with delivery 1" in text
    assert "Disk full" in text
    assert "channel &#39;ops&#39; is not active" in text
    assert "true, with {&#34;severity&#34;: &#34;critical&#34;}" in text
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Alert)) == 0
        assert session.scalar(select(func.count()).select_from(PipelineRun)) == 0
        assert session.scalar(select(func.count()).select_from(Delivery)) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"delivery": "77"}, "delivery: there is none"),
        ({"payload": "{", "delivery": ""}, "payload: this is not JSON"),
        ({"payload": "{}", "delivery": "1"}, "payload: give either"),
        ({"payload": "{}", "delivery": "", "source": "x"}, "source: one of"),
    ],
)
def test_wrong_input_of_a_dry_run_is_named_and_kept(
    page: Console, mine: int, given: dict[str, str], says: str
) -> None:
    answer = page.post(f"{LIST}try/?id={mine}", given)

    assert (answer.status_code, says in answer.text) == (400, True)


def test_run_is_ordered_with_a_delivery_and_one_that_nothing_reads_is_refused(
    page: Console, mine: int, database: Database
) -> None:
    with database.write() as session:
        add_delivery(session, body=ALERT)
        definitions.save(session, name="blind", config={"nodes": [{"id": "x", "type": "notify"}]})

    answer = page.post(f"{LIST}run/?id={mine}", {"delivery": "1"})
    refused = page.post(f"{LIST}run/?id={number(database, 'blind')}", {"payload": ALERT.decode()})

    with database.read() as session:
        [run] = session.scalars(select(PipelineRun))
    assert answer.location == f"/admin/runs/details/?id={run.id}"
    assert (run.definition_name, run.source) == ("mine", "generic")
    assert (refused.status_code, "no ingest node" in refused.text) == (400, True)
    assert [outcome for _, outcome, _ in entries(database)] == ["done", "refused"]


def test_script_is_told_the_faults_and_refused_without_a_token(page: Console, mine: int) -> None:
    headers = {"X-CSRFToken": page.token()}
    told = page.client.post(f"{LIST}validate/", data={"text": "{", "id": str(mine)}, headers=headers)
    stranger = page.client.post(f"{LIST}validate/", data={"text": "{"})

    assert told.json["faults"][0]["line"] == 1
    assert stranger.status_code == 400


def test_definition_of_a_strange_text_is_escaped_everywhere(page: Console, database: Database) -> None:
    evil = "<script>alert(1)</script>"
    with database.write() as session:
        config = {"description": evil, "nodes": [{"id": evil, "type": evil, "when": evil}]}
        pk = definitions.save(session, name="odd", config=config, description=evil, tags=[evil]).id

    for url in ("", f"details/?id={pk}", f"edit/?id={pk}", f"version/?id={pk}&version=1", f"try/?id={pk}"):
        answer = page.get(f"{LIST}{url}")

        assert answer.status_code in {200, 400}, url
        assert evil not in answer.text, url


def test_viewer_sees_all_and_tries_a_definition_but_changes_nothing(
    page: Console, mine: int, database: Database
) -> None:
    with database.write() as session:
        for name, role in (("olga", Role.OPERATOR), ("vera", Role.VIEWER)):
            users.add(
                session, name=name, role=role, password_hash=generate_password_hash("a long enough password")
            )
    page.sign_in("vera", "a long enough password")

    shown, tried = page.get(f"{LIST}details/?id={mine}"), page.get(f"{LIST}try/?id={mine}&delivery=")
    refused = [page.get(f"{LIST}{url}").status_code for url in (f"edit/?id={mine}", f"run/?id={mine}", "new/")]

    assert (shown.status_code, "Run now" in shown.text) == (200, False)
    assert "with nothing" in tried.text
    assert refused == [403] * 3
    assert page.post(f"{LIST}edit/?id={mine}", form()).status_code == 403
