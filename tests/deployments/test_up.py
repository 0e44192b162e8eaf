"""What `up` refuses to listen on, and what it says of who may post and read."""

import json
from pathlib import Path

import pytest
from stack import live_stack

from deployments.stack import Choice, StackError
from deployments.up import run
from storage import settings
from storage.settings import SettingsError
from webhook_app import exposure, keyring

PUBLIC = ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1", "127.1", "monitor.example.org", "localhost.example.org"]
LOOPBACK = ["127.0.0.1", "127.0.0.53", "::1", "localhost", "LocalHost"]


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBHOOK_TOKEN", "WEBHOOK_AUTH", "WEBHOOK_AUTH_FILE", "API_TOKEN"):
        monkeypatch.delenv(f"WATCHKEEPER_{name}", raising=False)


def notes(host: str) -> list[str]:
    current = settings.load().model_copy(update={"host": host})
    return exposure.notes(current, keyring.load(current))


def refusal(host: str) -> str:
    return exposure.why_not_bound(host, keyring.load(settings.load()))


@pytest.mark.parametrize("host", PUBLIC)
def test_up_refuses_a_public_address_while_no_secret_is_configured(host: str) -> None:
    with pytest.raises(StackError, match=r"WATCHKEEPER_WEBHOOK_TOKEN.*WATCHKEEPER_WEBHOOK_AUTH"):
        run(settings.load().model_copy(update={"host": host}), Choice(), pytest.fail)


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_secret(host: str) -> None:
    assert refusal(host) == ""


@pytest.mark.parametrize("host", PUBLIC)
def test_any_webhook_secret_allows_a_public_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", json.dumps({"generic": {"secrets": ["s3cret"]}}))
    by_source = refusal(host)
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", "")
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "s3cret")
    for_all = refusal(host)

    assert (by_source, for_all) == ("", "")


def test_the_token_of_readers_is_no_webhook_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "s3cret")

    assert refusal("0.0.0.0")


def test_up_refuses_credentials_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", '{"generic": {"tokens": ["hunter2 "]}}')

    with pytest.raises(SettingsError, match=r"WATCHKEEPER_WEBHOOK_AUTH: generic\.tokens\[0\]") as refused:
        run(settings.load(), Choice(), pytest.fail)

    assert "hunter2" not in str(refused.value)


def test_public_address_without_a_token_for_readers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "s3cret")
    without = notes("192.0.2.1")
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "read-me")
    with_token = notes("192.0.2.1")

    assert without == ["no WATCHKEEPER_API_TOKEN is set: only this machine may use the API"]
    assert with_token == []


def test_links_that_would_lead_nowhere_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_TOKEN", "s3cret")
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "read-me")
    [said] = notes("0.0.0.0")
    monkeypatch.setenv("WATCHKEEPER_PUBLIC_URL", "https://watchkeeper.example.org")
    with_url = notes("0.0.0.0")

    assert "WATCHKEEPER_PUBLIC_URL" in said
    assert with_url == []


def test_sources_that_only_this_machine_may_post_as_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_WEBHOOK_AUTH", json.dumps({"generic": {"tokens": ["s3cret"]}}))

    [said] = notes("127.0.0.1")

    assert "alertmanager" in said
    assert "generic" not in said


@pytest.mark.stack
def test_up_says_that_only_this_machine_may_post(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'watchkeeper.db'}"

    with live_stack("--no-server", "--no-worker", WATCHKEEPER_DATABASE_URL=database_url) as stack:
        accepted = stack.post({"name": "disk full"})
        said, logged = stack.said(), stack.log("receiver")

    assert accepted["status"] == "accepted"
    assert f"console: http://127.0.0.1:{stack.port}/admin/" in said
    assert "watchkeeper users add" in said
    assert "only this machine may post" in said
    assert "only this machine may post" in logged


def test_up_refuses_the_zone_of_a_source_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_SOURCE_TIMEZONES", '{"zabix": "Europe/Berlin"}')

    with pytest.raises(SettingsError, match=r"unknown source 'zabix'; one of grafana"):
        run(settings.load(), Choice(), pytest.fail)


def test_up_refuses_a_checkers_wrong_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", '{"cpu": {"fro": 3}}')

    with pytest.raises(SettingsError, match=r"WATCHKEEPER_CHECKERS: checker cpu: unknown config key 'fro'"):
        run(settings.load(), Choice(), pytest.fail)


def test_a_setting_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_CHECKERS", "{cpu: {}}")

    with pytest.raises(SettingsError, match=r"^WATCHKEEPER_CHECKERS: must be JSON$"):
        settings.load()
