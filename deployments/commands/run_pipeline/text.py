"""Text of the run commands: what this terminal can show, and nothing in it that steers the terminal."""

import os
import sys
from collections.abc import Iterable

from rich.text import Text

from deployments.commands.check_output import plain, print_table

ASCII = {"✓": "ok:", "✗": "failed:", "→": "->", "…": "..."}


def sign(character: str) -> str:
    """A sign, or what stands for it where the terminal has ASCII alone."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG", "")
    if locale in {"C", "POSIX"}:
        return ASCII[character]
    try:
        character.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return ASCII[character]
    return character


def print_texts(lines: Iterable["Text | str"]) -> None:
    """Lines, in colours where they have one and the terminal shows them."""
    print_table((), (), before=Text("\n").join(line if isinstance(line, Text) else plain(line) for line in lines))


def seconds(duration_ms: float | None) -> str:
    """A duration as people read it."""
    return f"{(duration_ms or 0.0) / 1000:.1f} s"
