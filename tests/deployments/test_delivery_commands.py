"""`watchkeeper deliveries`, on both databases."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from commands import Said, watchkeeper
from rows import add_delivery
from sqlalchemy import select

from storage import inbox, runs
from storage.database import Database
from storage.tables import Delivery
from storage.tables.base import utc_now
from storage.vocabulary import DeliveryStatus

BODY = b'\xef\xbb\xbf{"name": "x"}\r\n\x00'
HEADERS = {"Content-Type": "application/json", "User-Agent": "curl\x1b[2J[red]", "X-Api-Key": "hunter2"}
UNREADABLE = "no source recognises this payload (top level: number)"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")


@pytest.fixture
def keep(database: Database) -> Callable[..., str]:
    """Makes a delivery with these columns. Returns its id."""

    def keep_one(**fields: object) -> str:
        with database.write() as session:
            return add_delivery(session, **{"body": BODY, "headers": HEADERS, **fields})

    return keep_one


@pytest.fixture
def quarantined(keep: Callable[..., str]) -> Callable[[], str]:
    def keep_one() -> str:
        return keep(status=DeliveryStatus.QUARANTINED, reason=UNREADABLE, finished_at=utc_now())

    return keep_one


def statuses(database: Database) -> dict[str, DeliveryStatus]:
    with database.read() as session:
        rows = session.execute(select(Delivery.delivery_id, Delivery.status).order_by(Delivery.id))
        return dict(rows.all())


def listed(*arguments: str) -> list[str]:
    said = watchkeeper("deliveries", "list", "--json", *arguments)
    assert said.code == 0, said.stderr
    return [delivery["delivery_id"] for delivery in json.loads(said.stdout)["deliveries"]]


def has_failed_in_words(said: Said, *words: str) -> bool:
    return said.code in {1, 2} and "Traceback" not in said.stderr and all(word in said.stderr for word in words)


def test_list_is_a_table_with_the_newest_first(keep: Callable[..., str], quarantined: Callable[[], str]) -> None:
    first, second = keep(), quarantined()

    said = watchkeeper("deliveries", "list")

    assert said.code == 0
    assert said.text.index(second) < said.text.index(first)
    assert UNREADABLE in said.text
    for word in ("waiting", "quarantined", "generic", "direct", str(len(BODY))):
        assert word in said.text


def test_list_fits_a_narrow_terminal_and_a_pipe(
    keep: Callable[..., str], quarantined: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    waiting, unreadable = keep(source="alertmanager"), quarantined()

    lines = watchkeeper("deliveries", "list").text.splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1:]] == [unreadable, "no", waiting]
    assert lines[1].endswith("generic      quarantined")
    assert lines[2].strip() == UNREADABLE
    assert lines[3].endswith("alertmanager waiting")


def test_empty_list_says_so(database: Database) -> None:  # noqa: ARG001
    assert watchkeeper("deliveries", "list").text == "no deliveries\n"


def test_checksum_is_shown_whole_on_a_narrow_terminal(
    keep: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    said = watchkeeper("deliveries", "show", keep())

    assert "sha256" in said.text
    assert "…" not in said.text


def test_list_as_json_is_what_the_api_answers(keep: Callable[..., str]) -> None:
    delivery_id = keep()

    said = watchkeeper("deliveries", "list", "--json")

    answer = json.loads(said.stdout)
    assert answer["count"] == 1
    [delivery] = answer["deliveries"]
    assert (delivery["delivery_id"], delivery["status"], delivery["body_bytes"]) == (
        delivery_id,
        "waiting",
        len(BODY),
    )
    assert "body" not in delivery


def test_list_takes_filters_and_a_limit(keep: Callable[..., str], quarantined: Callable[[], str]) -> None:
    keep()
    zabbix, full, traced = keep(source="zabbix"), keep(pipeline="full"), keep(trace_id="trace-2")
    old = keep(received_at=utc_now() - timedelta(days=1))
    unreadable, newest = quarantined(), keep(source="")
    an_hour_ago = (utc_now() - timedelta(hours=1)).isoformat()

    assert listed("--status", "quarantined") == [unreadable]
    assert listed("--source", "zabbix") == [zabbix]
    assert listed("--source", "") == [newest]
    assert listed("--pipeline", "full") == [full]
    assert listed("--trace-id", "trace-2") == [traced]
    assert listed("--limit", "2") == [newest, unreadable]
    assert old not in listed("--since", an_hour_ago)
    assert len(listed("--since", an_hour_ago)) == len(listed("--since", "1h")) == 6


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--status", "lost"], "quarantined"), (["--since", "soon"], "--since"), (["--limit", "0"], "--limit")],
)
def test_wrong_filter_is_refused_by_name(database: Database, arguments: list[str], word: str) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("deliveries", "list", *arguments), word)


def test_show_tells_what_is_known_of_a_delivery(keep: Callable[..., str], database: Database) -> None:
    delivery_id = keep()
    with database.write() as session:
        claimed = inbox.claim(session, pipeline="direct", limit=1)
        run_id = runs.create_run(
            session, definition_name="direct", definition_version=1, deliveries=claimed
        ).run_id

    table = watchkeeper("deliveries", "show", delivery_id)
    details = json.loads(watchkeeper("deliveries", "show", delivery_id, "--json").stdout)

    for word in (delivery_id, run_id, "claimed", "trace-1", "application/json"):
        assert word in table.text
    assert details["runs"] == [
        {"run_id": run_id, "status": "PENDING", "url": f"/orchestration/pipeline/{run_id}/"}
    ]
    assert details["counts"] == {"runs": 1, "alerts": 0}
    assert details["is_body_kept"] is True


def test_show_lets_no_sender_steer_the_terminal_and_no_secret_out(keep: Callable[..., str]) -> None:
    delivery_id = keep()

    table = watchkeeper("deliveries", "show", delivery_id)
    as_json = watchkeeper("deliveries", "show", delivery_id, "--json")

    assert r"curl\x1b[2J[red]" in table.text
    assert b"hunter2" not in table.stdout + as_json.stdout
    assert json.loads(as_json.stdout)["headers"]["X-Api-Key"] == "***"


def test_show_prints_the_body_byte_for_byte_and_nothing_else(keep: Callable[..., str]) -> None:
    said = watchkeeper("deliveries", "show", keep(), "--body")

    assert (said.code, said.stdout, said.stderr) == (0, BODY, "")


def test_body_that_is_no_longer_kept_is_said(keep: Callable[..., str]) -> None:
    delivery_id = keep(body=b"")

    assert has_failed_in_words(watchkeeper("deliveries", "show", delivery_id, "--body"), "no longer kept")
    assert json.loads(watchkeeper("deliveries", "show", delivery_id, "--json").stdout)["is_body_kept"] is False


def test_replay_takes_several_and_reports_each(
    quarantined: Callable[[], str], keep: Callable[..., str], database: Database
) -> None:
    first, second, waiting = quarantined(), quarantined(), keep()

    said = watchkeeper("deliveries", "replay", first, waiting, second, "nothing")

    assert said.code == 1
    assert said.text.splitlines() == [f"replayed {first}", f"replayed {second}"]
    assert f"delivery {waiting} is waiting and cannot be replayed" in said.stderr
    assert "there is no delivery 'nothing'" in said.stderr
    assert set(statuses(database).values()) == {DeliveryStatus.WAITING}


def test_replay_of_one_names_its_new_source(quarantined: Callable[[], str], database: Database) -> None:
    delivery_id = quarantined()

    said = watchkeeper("deliveries", "replay", delivery_id, "--source", "alertmanager")

    assert said.code == 0
    with database.read() as session:
        assert session.scalars(select(Delivery.source)).all() == ["alertmanager"]


def test_all_quarantined_are_replayed_that_still_have_a_body(
    quarantined: Callable[[], str], keep: Callable[..., str], database: Database
) -> None:
    done = keep(status=DeliveryStatus.DONE, finished_at=utc_now())
    pruned = keep(status=DeliveryStatus.QUARANTINED, finished_at=utc_now(), body=b"")
    ids = [quarantined() for _ in range(3)]

    said = watchkeeper("deliveries", "replay", "--all-quarantined")

    assert said.code == 0
    assert said.text.splitlines() == [f"replayed {delivery_id}" for delivery_id in ids]
    assert statuses(database) == {
        done: DeliveryStatus.DONE,
        pruned: DeliveryStatus.QUARANTINED,
        **dict.fromkeys(ids, DeliveryStatus.WAITING),
    }


def test_nothing_quarantined_is_no_failure(keep: Callable[..., str]) -> None:
    keep()

    said = watchkeeper("deliveries", "replay", "--all-quarantined")

    assert said.code == 0
    assert "no delivery is quarantined" in said.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--all-quarantined"]),
        (["x", "--all-quarantined"], ["--all-quarantined"]),
        (["x", "--source", "pigeon"], ["pigeon", "alertmanager", "generic"]),
    ],
)
def test_replay_that_is_not_clear_is_refused(database: Database, arguments: list[str], words: list[str]) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("deliveries", "replay", *arguments), *words)


def test_discard_keeps_the_given_reason(quarantined: Callable[[], str], database: Database) -> None:
    delivery_id = quarantined()

    said = watchkeeper("deliveries", "discard", delivery_id, "--reason", "a test of ours")

    assert (said.code, said.text) == (0, f"discarded {delivery_id}\n")
    assert statuses(database) == {delivery_id: DeliveryStatus.DISCARDED}
    with database.read() as session:
        assert session.scalars(select(Delivery.reason)).all() == ["a test of ours"]


def test_discard_of_what_is_done_is_refused_by_name(keep: Callable[..., str]) -> None:
    delivery_id = keep(status=DeliveryStatus.DONE, finished_at=utc_now())

    said = watchkeeper("deliveries", "discard", delivery_id)

    assert has_failed_in_words(said, f"delivery {delivery_id} is done and cannot be discarded")


@pytest.mark.parametrize("command", [["show"], ["show", "--body"], ["replay"], ["discard"]])
@pytest.mark.parametrize("name", ["nothing", "\udcff"])
def test_unknown_delivery_is_said(database: Database, command: list[str], name: str) -> None:  # noqa: ARG001
    assert has_failed_in_words(watchkeeper("deliveries", *command, name), "there is no delivery")


@pytest.mark.parametrize("command", [["deliveries"], ["deliveries", "replay"], ["parse"]])
def test_help_is_shown_without_importing_prefect_or_flask(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deployments.cli", *command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert not re.search(r"\|\s+(prefect|flask)$", result.stderr, re.MULTILINE)
