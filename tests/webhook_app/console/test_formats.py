"""How values are shown."""

import pytest

from webhook_app.console.formats import IN_CSV


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_text_that_a_spreadsheet_would_run_is_quoted_in_a_file(start: str) -> None:
    show = IN_CSV[str]

    assert show(None, f"{start}HYPERLINK(1)", "title") == f"'{start}HYPERLINK(1)"
    assert show(None, "Disk full", "title") == "Disk full"
