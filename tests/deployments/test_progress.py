"""What is said of a run while it goes on."""

import os

import pytest

from deployments.commands.run_pipeline.progress import progress_of


def test_run_goes_on_when_nobody_reads_its_progress_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    unread, end = os.pipe()
    os.close(unread)
    with os.fdopen(end, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)

        with progress_of(is_silent=False) as progress:
            progress.say("one")
            progress.say("two")
