"""The one rule that keeps secrets out of what is stored, shown, logged or returned (design.md, 5).

It goes by names (storage/secret_names.py) and by shapes (storage/secret_shapes.py). A text in which nothing
hints at a secret is not searched: most alerts cost a few searches for words, all their texts together.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from storage.secret_names import LONG_NAME_CHARS, NAMED, is_secret_name
from storage.secret_shapes import MASK, SHAPES

REFERENCE_KINDS = frozenset({"env", "file", "prefect"})

_RULES = (*SHAPES, *NAMED)


class _Hints(NamedTuple):
    """Words that hint at secrets: as they are written, and in small letters where capitals do not count."""

    cased: Sequence[str]
    folded: Sequence[str]


_HINTS = _Hints(
    cased=tuple(hint for rule in _RULES if not rule.ignores_case for hint in rule.hints),
    folded=tuple({hint: None for rule in _RULES if rule.ignores_case for hint in rule.hints}),
)


def redact(value: Any) -> Any:
    """A JSON value as it may be shown: a copy, or the value itself where nothing in it hints at a secret.

    Values under secret names become `***`; a reference to a secret is shown as it is, and so is None, which
    says that nothing is set. Under a path (`/srv/api`) stands what was measured of it, where that is a mapping.
    Every other string, and every name, passes through `redact_text`.
    """
    if isinstance(value, str):
        return redact_text(value)
    # The text of the whole value has every hint that its names and strings have, and is made at once.
    hints = _hints_in(repr(value), _HINTS)
    return _redact(value, hints) if hints.cased or hints.folded else value


def redact_text(text: str) -> str:
    """A copy of a sentence or log line without its secrets.

    Hidden are shapes of secrets; logins in URLs and data sources; `Authorization: …` to the end of its line,
    cookies, bearer tokens; what stands after a secret name as `name=value`, `"name": value`, `X-Name: value`,
    `--name value` or, for passwords and for what looks like a token, `name: value`. Our own errors name fields
    that way too ("password: Field required"), so an unquoted value that begins as such an error does stays.
    """
    return _redact_text(text, _HINTS)


# Senders use the same few names for ever (storage/secret_names.py).
_known_name = lru_cache(maxsize=2048)(redact_text)


def is_reference(value: Any) -> bool:
    """Whether this is a reference to a secret: a dict of exactly one entry, such as `{"env": "NAME"}`."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, target),) = value.items()
    return kind in REFERENCE_KINDS and isinstance(target, str)


def _hints_in(text: str, among: _Hints) -> _Hints:
    lowered = text.lower()
    return _Hints(
        [hint for hint in among.cased if hint in text], [hint for hint in among.folded if hint in lowered]
    )


def _redact(value: Any, hints: _Hints) -> Any:
    """The copy, with no more searched for than the hints that the whole value has."""
    if isinstance(value, str):
        return _redact_text(value, hints)
    if isinstance(value, Mapping):
        return {_redact_name(name, hints): _redact_entry(name, entry, hints) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(entry, hints) for entry in value]
    return value


def _redact_text(text: str, hints: _Hints) -> str:
    if not (hints.cased or hints.folded):
        return text
    found = [hint for hint in hints.cased if hint in text]
    if hints.folded:
        lowered = text.lower()
        found += [hint for hint in hints.folded if hint in lowered]
    if not found:
        return text
    for rule in _RULES:
        if rule.may_hide_in(text, found):
            text = rule.pattern.sub(rule.replacement, text)
    return text


def _redact_name(name: Any, hints: _Hints) -> Any:
    if not isinstance(name, str):
        return name
    return _known_name(name) if len(name) <= LONG_NAME_CHARS else _redact_text(name, hints)


def _redact_entry(name: Any, value: Any, hints: _Hints) -> Any:
    is_measured_of_path = isinstance(value, Mapping) and str(name).startswith("/")
    if value is None or is_measured_of_path or not is_secret_name(str(name)):
        return _redact(value, hints)
    return _redact(value, hints) if is_reference(value) else MASK


__all__ = ["MASK", "is_reference", "is_secret_name", "redact", "redact_text"]
