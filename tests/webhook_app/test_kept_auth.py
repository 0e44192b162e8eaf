"""Credentials kept under the home: taken up without a restart, and never opened by an accident."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from storage import settings
from storage.database import Database
from storage.settings import SettingsError
from webhook_app import kept_auth, live_keyring
from webhook_app.app import create_app

BODY = b'{"name": "Disk full"}'
URL = "/alerts/webhook/generic/"
GUARDED = {"generic": {"tokens": [{"env": "GENERIC_TOKEN"}]}}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Start = Callable[..., FlaskClient]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file would lie; every look is due."""
    monkeypatch.setenv("WATCHKEEPER_HOME", str(tmp_path))
    monkeypatch.setenv("GENERIC_TOKEN", "hunter2")
    for name in ("TOKEN", "AUTH", "AUTH_FILE"):
        monkeypatch.delenv(f"WATCHKEEPER_WEBHOOK_{name}", raising=False)
    monkeypatch.setattr(live_keyring, "LOOK_SECONDS", 0.0)
    return tmp_path / kept_auth.NAME


@pytest.fixture
def start(kept: Path, database: Database) -> Start:
    del kept
    return lambda: create_app(settings.load(), database).test_client()


def write(kept: Path, entries: object) -> None:
    """As `watchkeeper apply` does, in place of the old file."""
    fresh = kept.with_suffix(".new")
    fresh.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    fresh.replace(kept)


def post(client: FlaskClient, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.post(URL, data=BODY, headers=headers).status_code


def test_a_running_receiver_takes_up_new_credentials(
    start: Start, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start()
    assert post(client) == 202
    write(kept, GUARDED)
    assert (post(client), post(client, "hunter2")) == (401, 202)

    monkeypatch.setenv("NEXT_TOKEN", "hunter3")
    write(kept, {"generic": {"tokens": [{"env": "NEXT_TOKEN"}]}})

    assert (post(client, "hunter2"), post(client, "hunter3")) == (401, 202)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(Path.unlink, id="gone"),
        pytest.param(lambda kept: write(kept, ""), id="empty"),
        pytest.param(lambda kept: write(kept, '{"generic": {"tok'), id="cut-off"),
        pytest.param(lambda kept: write(kept, "[]"), id="no-object"),
        pytest.param(lambda kept: write(kept, "[" * 100_000), id="brackets"),
        pytest.param(lambda kept: write(kept, f'{{"generic": {"[" * 3000}{"]" * 3000}}}'), id="nested"),
        pytest.param(lambda kept: write(kept, "9" * 5000), id="digits"),
        pytest.param(lambda kept: write(kept, {"generic": {}}), id="entry-of-nothing"),
        pytest.param(
            lambda kept: write(kept, {"nosuch": {"tokens": [{"env": "GENERIC_TOKEN"}]}}), id="unknown-source"
        ),
        pytest.param(lambda kept: write(kept, {"generic": {"tokens": [{"env": "NOT_SET"}]}}), id="secret-away"),
        pytest.param(lambda kept: (kept.unlink(), kept.mkdir()), id="folder"),
        pytest.param(lambda kept: (kept.unlink(), kept.symlink_to("nowhere")), id="dangling-link"),
        pytest.param(lambda kept: write(kept, " " * (kept_auth.MAX_BYTES + 1)), id="too-large"),
    ],
)
def test_what_cannot_be_read_keeps_the_last_good_credentials_and_is_said_once(
    start: Start, kept: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    write(kept, GUARDED)
    client = start()
    caplog.clear()

    spoil(kept)

    assert [post(client), post(client), post(client, "hunter2")] == [401, 401, 202]
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "hunter2" not in caplog.text


def test_a_broken_file_is_left_as_soon_as_it_is_mended(start: Start, kept: Path) -> None:
    write(kept, GUARDED)
    client = start()
    write(kept, "{")
    assert post(client) == 401

    write(kept, {})

    assert post(client) == 202


def test_a_receiver_that_others_reach_does_not_give_up_its_last_credentials(
    start: Start, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_HOST", "0.0.0.0")
    write(kept, GUARDED)
    client = start()

    write(kept, {})

    assert (post(client), post(client, "hunter2")) == (401, 202)


def test_a_receiver_does_not_start_with_a_file_that_it_cannot_read(start: Start, kept: Path) -> None:
    write(kept, '{"generic": {"tokens": ["hunter2"')

    with pytest.raises(SettingsError, match="no JSON") as refused:
        start()

    assert str(kept) in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_variable_counts_in_place_of_the_file(
    start: Start, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(kept, GUARDED)
    monkeypatch.setenv("OTHER_TOKEN", "hunter4")
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", '{"generic": {"tokens": [{"env": "OTHER_TOKEN"}]}}')
    client = start()

    write(kept, {})

    assert (post(client), post(client, "hunter2"), post(client, "hunter4")) == (401, 401, 202)
