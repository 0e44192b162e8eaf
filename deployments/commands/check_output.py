"""How JSON and tables reach standard output: whole in a pipe, in colours on a terminal, and without ado when
nobody reads on.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import IO, TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

# No terminal is that wide, so nothing is cut or wrapped that goes to a file or a pipe.
UNBOUNDED_COLUMNS = 100_000


def print_json(form: Any) -> None:
    """JSON in UTF-8, whatever the terminal's encoding, and whatever a checker let through.

    NaN becomes null, and a lone surrogate JSON's own escape for it.
    """
    text = json.dumps(to_jsonable_python(form, inf_nan_mode="null"), indent=2, ensure_ascii=False)
    _write(text.encode("utf-8", "backslashreplace") + b"\n")


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence["str | Text"]],
    *,
    before: "Text | str" = "",
    after: "Text | str" = "",
) -> None:
    """Rows under headings, if there are any, with a line before and after."""
    from rich.table import Table  # noqa: PLC0415  (JSON needs none of it)

    table = Table(*headings, box=None, show_header=bool(headings), pad_edge=False)
    for row in rows:
        table.add_row(*row)
    _print([part for part in (before, table if table.row_count else "", after) if part])


def print_lines(lines: Iterable[str]) -> None:
    """Lines of text."""
    _print([plain(line) for line in lines])


def plain(value: object, style: str = "") -> "Text":
    """Text in which nothing steers the terminal or counts as markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value)), style)


def abandon(stream: IO[str]) -> None:
    """Let what is still written there go nowhere, since nobody reads it.

    Else Python would try once more at its end, complain, and exit with a code of its own.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print(parts: Sequence["RenderableType"]) -> None:
    from rich.console import Console  # noqa: PLC0415

    there = Console()
    width = there.width if there.is_terminal else UNBOUNDED_COLUMNS
    text = StringIO()
    Console(file=text, force_terminal=there.is_terminal, width=width, highlight=False).print(*parts, sep="\n")
    # Rows are filled up to the longest one's width.
    lines = "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
    _write(lines.encode(sys.stdout.encoding, "backslashreplace"))


def _write(text: bytes) -> None:
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except OSError as error:
        abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # who reads no further has seen enough
            raise
