"""JSON of so many tokens at most, cut where it hurts least, and saying where."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tasks.analyze.tokens import estimate_tokens
from tasks.analyze.visible import visible

MAX_DEPTH = 8
MAX_NAME_CHARS = 120
# Of longer texts and lists, not even the secrets are looked for.
MAX_TEXT_CHARS = 8_000
MAX_ENTRIES = 100
# A part that has more characters than this would not fit even if it were alone.
CHARS_PER_TOKEN = 4
CHARS_PER_ENTRY = 4
MAX_INTEGER = 2**63
CUT = "cut"
CUT_BEFORE = "long texts and lists"

Limit = tuple[int, int]

# (characters of a text, entries of a list). First only the largest things are cut, in the end all.
LIMITS: tuple[Limit, ...] = (
    *((4_000, 60), (3_000, 50), (2_000, 40), (1_500, 32), (1_100, 26), (800, 21), (600, 17), (450, 14)),
    *((330, 11), (250, 9), (180, 7), (120, 5), (120, 3), (120, 2)),
)
LAST_LIMITS: tuple[Limit, ...] = ((40, 1), (16, 0))

# What might end the fence, or look like another speaker's turn in some model's template. In JSON it can be told
# in other characters; `a < b` stays readable.
_MARKER = re.compile(r"<(?![\s\d=])|\[(?=/?[A-Z_]+\])")


class Budget:
    """How many characters one part may still take."""

    def __init__(self, max_tokens: int) -> None:
        self.left = max_tokens * CHARS_PER_TOKEN
        # One text alone does not use it up.
        self.max_text_chars = min(self.left // 4, MAX_TEXT_CHARS)
        self.is_cut = False

    def take(self, chars: int) -> None:
        """Count these as taken, and what each value costs besides."""
        self.left -= chars + CHARS_PER_ENTRY


@dataclass(frozen=True)
class Fitted:
    """JSON, and whether something is missing in it."""

    text: str
    is_cut: bool


def plain(parts: Mapping[str, Any], max_tokens: int) -> tuple[dict[str, Any], bool]:
    """The parts as JSON of bounded size, and whether that left something out.

    No invisible characters, no NaN, nothing empty. Nothing is cut within a word, so that no half of a secret is
    left that would not be recognised.
    """
    budgets = {name: Budget(max_tokens) for name in parts}
    told = {name: _plain(part, budgets[name]) for name, part in parts.items()}
    return told, any(budget.is_cut for budget in budgets.values())


def fit(parts: Mapping[str, Any], max_tokens: int, *, is_cut: bool = False) -> Fitted:
    """The parts as one JSON object. The last are worth the least; the first is shortened, but never left out.

    `is_cut` says that something was left out before.
    """
    pieces = {name: _piece(name, part) for name, part in parts.items()}
    sizes = {name: _size(piece) for name, piece in pieces.items()}
    cuts = {CUT_BEFORE: "shortened"} if is_cut else {}
    for name, limit in _steps(*parts):
        if sum(sizes.values()) + _size(_cut_note(cuts)) <= max_tokens:
            break
        piece = _piece(name, _short(parts[name], *limit)) if limit else ""
        if piece != pieces[name]:
            pieces[name], sizes[name] = piece, _size(piece)
            cuts[name] = "shortened" if limit else "left out"
    return Fitted("{" + ",\n".join(filter(None, [*pieces.values(), _cut_note(cuts)])) + "}", bool(cuts))


def _steps(first: str, *rest: str) -> Iterator[tuple[str, Limit | None]]:
    """Which part to shorten to what, one after the other; without a limit it is left out."""
    for max_chars, max_entries in LIMITS:
        yield from ((name, (max_chars, max_entries)) for name in reversed(rest))
        yield first, (max_chars, MAX_ENTRIES)
    yield from ((name, None) for name in reversed(rest))
    yield from ((first, limit) for limit in LAST_LIMITS)


def _cut_note(cuts: Mapping[str, str]) -> str:
    return _piece(CUT, [f"{name}: {what}" for name, what in cuts.items()])


def _size(piece: str) -> int:
    return estimate_tokens(piece + ",\n") if piece else 0


def _piece(name: str, part: Any) -> str:
    if part in ("", [], {}):
        return ""
    text = json.dumps({name: part}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)[1:-1]
    return _MARKER.sub(lambda marker: f"\\u{ord(marker[0]):04x}", text)


def _plain(value: Any, budget: Budget, depth: int = 0) -> Any:
    if isinstance(value, Mapping | list | tuple):
        if depth < MAX_DEPTH:
            read = _plain_mapping if isinstance(value, Mapping) else _plain_list
            return read(value, budget, depth)
        budget.is_cut = True
        return "…"
    if isinstance(value, str):
        return _plain_text(value, budget)
    budget.take(0)
    return value if _is_plain_number(value) else None


def _is_plain_number(value: Any) -> bool:
    """Whether it is one that any reader of JSON takes; so are true and false."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) < MAX_INTEGER


def _plain_text(text: str, budget: Budget) -> str:
    allowed = min(budget.max_text_chars, max(budget.left, 0))
    if len(text) > allowed:
        budget.is_cut = True
        text = f"{_whole_words(text[:allowed])}…"
    budget.take(len(text))
    return visible(text)


def _whole_words(text: str) -> str:
    """All but the last word, which may go on. Chinese needs no spaces, and holds no secrets."""
    ends = (
        place for place in range(len(text), 0, -1) if text[place - 1].isspace() or not text[place - 1].isascii()
    )
    return text[: next(ends, 0)]


def _plain_mapping(value: Any, budget: Budget, depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    left_out = len(value)
    for name, entry in islice(value.items(), MAX_ENTRIES):
        if budget.left <= 0:
            break
        left_out -= 1
        key = _plain_name(str(name))
        budget.take(len(key))
        kept[key] = _plain(entry, budget, depth + 1)
    budget.is_cut |= left_out > 0
    told = {key: entry for key, entry in kept.items() if not _is_empty(entry)}
    return told | ({"…": f"{left_out} more"} if left_out else {})


def _plain_name(name: str) -> str:
    return visible(name if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS].rpartition(' ')[0]}…")


def _plain_list(value: Any, budget: Budget, depth: int) -> list[Any]:
    kept: list[Any] = []
    left_out = len(value)
    for entry in value[:MAX_ENTRIES]:
        if budget.left <= 0:
            break
        left_out -= 1
        kept.append(_plain(entry, budget, depth + 1))
    budget.is_cut |= left_out > 0
    told = [entry for entry in kept if not _is_empty(entry)]
    return [*told, f"… {left_out} more"] if left_out else told


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _short(value: Any, max_chars: int, max_entries: int) -> Any:
    """The beginning of a list or mapping, and both ends of a text."""
    if isinstance(value, str):
        return _short_text(value, max_chars)
    if isinstance(value, dict):
        # The entries of a mapping tell different things, so that more of them are worth it.
        max_names = 2 * max_entries + 4
        kept = {
            _short_text(name, max_chars): _short(entry, max_chars, max_entries)
            for name, entry in islice(value.items(), max_names)
        }
        return kept | ({"…": f"{len(value) - max_names} more"} if len(value) > max_names else {})
    if isinstance(value, list):
        entries = [_short(entry, max_chars, max_entries) for entry in value[:max_entries]]
        return entries + ([f"… {len(value) - max_entries} more"] if len(value) > max_entries else [])
    return value


def _short_text(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    tail = max_chars // 3
    # Whole words: host-1 is another host than host-12.
    first, last = _whole_words(text[: max_chars - tail]), _whole_words(text[: -tail - 1 : -1])[::-1]
    return f"{first}… [+{len(text) - len(first) - len(last)} characters] …{last}"
