"""Versions of saved definitions."""

import threading

import pytest

from storage import definitions
from storage.database import Database


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
@pytest.mark.parametrize("is_there", [True, False])
def test_two_that_save_a_definition_at_once_make_two_versions(database: Database, *, is_there: bool) -> None:
    if is_there:
        save(database, "before")
    with database.write() as session:
        definitions.find(session, "mine")
        other = threading.Thread(target=save, args=(database, "other"))
        definitions.save(session, name="mine", config={"nodes": ["first"]})
        other.start()
        other.join(0.3)  # it waits
    other.join()

    with database.read() as session:
        saved = definitions.find(session, "mine")
        kept = definitions.list_versions(session, "mine", limit=2)
        assert saved is not None
        assert saved.config == {"nodes": ["other"]}
    assert [version.config for version in kept] == [{"nodes": ["other"]}, {"nodes": ["first"]}]


def save(database: Database, node: str) -> None:
    with database.write() as session:
        definitions.find(session, "mine")
        definitions.save(session, name="mine", config={"nodes": [node]})
