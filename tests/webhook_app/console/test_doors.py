"""What the console's library would open and the console has no use for."""

from pathlib import Path

from storage.database import Database
from storage.settings import Settings
from webhook_app.app import create_app

WRITING = {"create_view", "edit_view", "delete_view", "ajax_lookup", "ajax_update"}
# Definitions are written in the browser; every other row changes by actions only.
WRITTEN = {"definition_rows.create_view", "definition_rows.edit_view"}


def test_no_list_has_a_door_to_forms_that_it_does_not_have(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), Database(f"sqlite:///{tmp_path / 'none.db'}"))

    doors = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.rpartition(".")[2] in WRITING}

    assert doors == WRITTEN
