"""Text from outside, made such that every database takes it and no terminal obeys it."""

from pathlib import Path

MAX_PATH_CHARS = 400  # a target's column takes 512


def printable(text: str, max_chars: int) -> str:
    """The text with a question mark, as `ls` has it, for what cannot be shown; the rest is cut off visibly."""
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= max_chars else f"{shown[: max_chars - 1]}…"


def printable_path(path: str) -> str:
    """A path as such text, which any bytes may stand in. Of a long one both ends are told."""
    escaped = path.encode("utf-8", "backslashreplace").decode()
    shown = printable(escaped, len(escaped))
    half = MAX_PATH_CHARS // 2
    return shown if len(shown) <= MAX_PATH_CHARS else f"{shown[:half]}…{shown[1 - half :]}"


def decoded(content: bytes) -> str:
    """The text of some lines, whatever bytes they are of; without NUL, which no database column takes."""
    return content.decode(errors="replace").replace("\x00", "")


def kernel_text(path: Path) -> str:
    """What a file of the kernel's says; nothing where there is no such file, or no longer."""
    try:
        return decoded(path.read_bytes()).strip()
    except OSError:
        return ""
