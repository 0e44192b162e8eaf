"""What the commands share that list rows, show one, and do something to each of several."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from storage.database import Database, strict_json
from storage.storable import storable_text
from storage.tables.base import utc_now
from tasks.errors import PermanentError
from webhook_app.query import QueryError, read_since

# From this width on a row of the table takes a few lines at most.
TABLE_COLUMNS = 140


def read_since_flag(text: str) -> datetime | None:
    """--since as it was typed; None where it was not."""
    try:
        return read_since(MultiDict({"since": text}), now=utc_now()) if text else None
    except QueryError as error:
        raise PermanentError(f"--{error}") from None


def do_each(
    database: Database,
    names: Sequence[str],
    act: Callable[[Session, str], object],
    *,
    done: str,
    refusals: tuple[type[Exception], ...],
    at_once: int = 1,
) -> int:
    """Do it to each and say so, one line for each, `at_once` in a transaction.

    Returns the exit code: 1 where one was refused.
    """
    refused = 0
    for start in range(0, len(names), at_once):
        said: list[str] = []
        faults: list[str] = []
        with database.write() as session:
            for name in map(storable_text, names[start : start + at_once]):
                try:
                    with session.begin_nested():
                        act(session, name)
                    said.append(f"{done} {name}")
                except refusals as error:
                    faults.append(f"watchkeeper: {error}")
        # Only what is committed is said.
        say(*said)
        sys.stderr.writelines(f"{fault}\n" for fault in faults)
        refused += len(faults)
    return 1 if refused else 0


def print_rows(table: Callable[[], Table], lines: Callable[[], Iterable[str]]) -> None:
    """The table where it fits; else its lines, for a terminal of 80 columns or a pipe."""
    console = Console()
    if console.width >= TABLE_COLUMNS:
        console.print(table())
    else:
        console.print("\n".join(lines()), markup=False, highlight=False, soft_wrap=True)


def print_fields(fields: Mapping[str, Any]) -> None:
    """One row whole."""
    table = Table("field", Column("value", overflow="fold"), show_header=False)
    for name, value in fields.items():
        table.add_row(name, plain_lines("" if value is None else value))
    Console().print(table)


def print_strict_json(fields: dict[str, Any]) -> None:
    """JSON as the API answers it."""
    sys.stdout.buffer.write(strict_json(fields).encode() + b"\n")


def say(*lines: str) -> None:
    """Lines of our own."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def plain_lines(value: object) -> Text:
    """Text in which nothing that a sender wrote steers the terminal, or counts as markup."""
    return Text("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value)))
