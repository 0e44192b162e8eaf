"""Configured AI providers, on both databases: one of them is active, or none."""

import threading

import pytest
from sqlalchemy.exc import IntegrityError

from storage import providers
from storage.database import Database
from storage.providers import ProviderExistsError
from storage.tables import IntelligenceProvider

KEY = {"api_key": {"env": "MY_KEY"}, "model": "gpt-4o"}


@pytest.fixture
def two(database: Database) -> Database:
    """A database with the providers one and two, of which one is active."""
    with database.write() as session:
        for name in ("one", "two"):
            providers.add_provider(session, name=name, provider="openai", config=KEY)
        providers.activate(session, "one")
    return database


def active(database: Database) -> list[str]:
    with database.read() as session:
        return [row.name for row in providers.list_providers(session) if row.is_active]


def test_the_one_that_is_activated_takes_the_place_of_the_other(two: Database) -> None:
    with two.write() as session:
        assert providers.activate(session, "two")

    with two.read() as session:
        found = providers.find_active(session)
    assert active(two) == ["two"]
    assert found is not None
    assert (found.name, found.provider, found.config) == ("two", "openai", KEY)


def test_the_active_one_can_be_activated_again(two: Database) -> None:
    with two.write() as session:
        assert providers.activate(session, "one")

    assert active(two) == ["one"]


def test_activating_what_is_not_there_leaves_the_active_one_alone(two: Database) -> None:
    with two.write() as session:
        assert not providers.activate(session, "three")

    assert active(two) == ["one"]


def test_none_is_active_after_deactivation(two: Database) -> None:
    with two.write() as session:
        counts = [providers.deactivate(session), providers.deactivate(session)]

    with two.read() as session:
        assert providers.find_active(session) is None
    assert counts == [1, 0]


def test_the_database_itself_refuses_a_second_active_one(two: Database) -> None:
    with pytest.raises(IntegrityError), two.write() as session:
        session.add(IntelligenceProvider(name="three", provider="openai", config={}, is_active=True))

    assert active(two) == ["one"]


def test_of_two_that_are_activated_at_once_the_second_waits_and_stands(two: Database, database_url: str) -> None:
    elsewhere = Database(database_url, pool_size=1)  # as another process has it
    is_trying = threading.Event()

    def activate_one() -> None:
        with elsewhere.write() as session:
            providers.activate(session, "one")

    def try_to() -> None:
        is_trying.set()
        activate_one()

    other = threading.Thread(target=try_to)

    with two.write() as session:
        providers.activate(session, "two")
        other.start()
        is_trying.wait(5)
        other.join(0.2)
        waited = other.is_alive()
    other.join(10)

    elsewhere.dispose()
    assert waited
    assert active(two) == ["one"]


def test_a_name_is_given_once(two: Database) -> None:
    with two.write() as session:
        with pytest.raises(ProviderExistsError, match="there is a provider 'one' already"):
            providers.add_provider(session, name="one", provider="claude", config={})
        providers.add_provider(session, name="three", provider="claude", config={})

    with two.read() as session:
        stored = [(row.name, row.provider, row.is_active) for row in providers.list_providers(session)]
    assert stored == [("one", "openai", True), ("two", "openai", False), ("three", "claude", False)]


def test_an_edit_replaces_the_config_and_keeps_references(two: Database) -> None:
    config = {"api_key": {"file": "/run/secrets/key"}}
    with two.write() as session:
        found = [providers.edit_provider(session, name, config=config) for name in ("one", "three")]

    with two.read() as session:
        row = providers.find(session, "one")
    assert found == [True, False]
    assert row is not None
    assert (row.config, row.is_active) == (config, True)
    assert row.updated_at > row.created_at


def test_the_local_rules_answer_once_the_active_one_is_removed(two: Database) -> None:
    with two.write() as session:
        found = [providers.remove_provider(session, name) for name in ("one", "one")]

    assert found == [True, False]
    assert active(two) == []
