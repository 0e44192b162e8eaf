"""`watchkeeper prune`, for a machine with nothing but cron."""

import pytest
from old_rows import add_old_webhooks, count_rows

from deployments.commands.prune_command import prune
from storage.database import Database


def test_what_was_kept_long_enough_goes_and_is_told(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    add_old_webhooks(database, 3, days_ago=400)

    prune()

    assert capsys.readouterr().out.startswith("pruned ")
    assert count_rows(database)["pipeline_runs"] == 0
    prune()
    assert capsys.readouterr().out == "nothing was due\n"
