"""The one rule that keeps secrets out of what is shown, logged, snapshotted or returned (design.md, 5).

The rule goes by names and is broad on purpose: every name that *contains* one of `SECRET_MARKS` hides its
value, so `monkey`, `keyspace` and `apiserver` are hidden too. A label that cannot be read is a nuisance; a
password that can be is an incident. Only `READABLE_NAMES` are excepted.
"""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

SECRET_MARKS = ("key", "secret", "token", "password", "api", "webhook_url", "authorization", "dsn")

# Names of our own that contain a mark and hold no secret. Without them nobody could see why two messages
# count as one, or what an analysis used. `groupkey` is Alertmanager's spelling of group_key.
READABLE_NAMES = frozenset(
    {
        "idempotency_key",
        "dedup_key",
        "group_key",
        "groupkey",
        "max_tokens",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
    }
)

REFERENCE_KINDS = frozenset({"env", "file", "prefect"})


def redact(value: Any) -> Any:
    """A copy of a JSON value that may be shown.

    Values under secret names become `***`; a reference to a secret is shown as it is, and so is None, which
    says that nothing is set. Every other string passes through `redact_text`.
    """
    if isinstance(value, Mapping):
        return {name: _redact_entry(name, entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [redact(entry) for entry in value]
    if isinstance(value, str):
        return redact_text(value)
    return value


def redact_text(text: str) -> str:
    """A copy of a sentence or log line without its secrets.

    Hidden are: credentials in URLs, `Authorization: …` to the end of its line, bearer tokens, and the values
    of secret names written as `name=value`, `"name": value` or, for hyphenated header names, `X-Name: value`.
    An unquoted `name: …` stays, because our own errors name fields that way ("password: Field required").
    """
    lowered = text.lower()
    for hints, pattern, replacement in _TEXT_RULES:
        if any(hint in lowered for hint in hints):
            text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether values under this name are hidden. Hyphens count as underscores, capitals as small letters."""
    plain = name.lower().replace("-", "_")
    return plain not in READABLE_NAMES and any(mark in plain for mark in SECRET_MARKS)


def is_reference(value: Any) -> bool:
    """Whether this is a reference to a secret: a dict of exactly one entry, such as `{"env": "NAME"}`."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, target),) = value.items()
    return kind in REFERENCE_KINDS and isinstance(target, str)


def _redact_entry(name: Any, value: Any) -> Any:
    if value is None or is_reference(value):
        return value
    return MASK if is_secret_name(str(name)) else redact(value)


def _any_of(names: tuple[str, ...] | frozenset[str]) -> str:
    return "(?:" + "|".join(sorted(names)).replace("_", "[_-]") + ")"


# Possessive quantifiers and the look-behinds keep every rule linear: an alert may carry 100 kB of anything.
# A value whose closing quote was cut off is hidden to the end.
_VALUE = (
    r"""(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|\\++["'][^"'\\]*+(?:\\++["'])?|\[[^\]]*+\]?|\{[^}]*+\}?"""
    r"""|[^\s&;"'<>]*[^\s&;"'<>,)\]}])"""
)
_MARK_HINTS = tuple(mark.split("_")[0] for mark in SECRET_MARKS)
_QUOTE = r"""\\*+["']"""
_SECRET_NAME = (
    rf"""(?<![\w.-])(?!{_any_of(READABLE_NAMES)}(?:{_QUOTE})?\s{{0,2}}[=:])"""
    rf"""(?=[\w.-]*?{_any_of(SECRET_MARKS)})[\w.-]++"""
)
_HEADER_NAME = rf"(?<![\w.-])(?!{_any_of(READABLE_NAMES)}:)(?=[\w-]*?{_any_of(SECRET_MARKS)})(?=\w++-)[\w-]++"

# (what a text must contain for the rule to apply at all, the rule, what to put there). Looking for the words
# first makes most texts cost next to nothing.
_TEXT_RULES = (
    (("@",), re.compile(r"""(?<=://)[^\s/?#"'<>]*@"""), f"{MASK}@"),
    (
        ("authorization",),
        re.compile(
            rf"(?i)(?<![\w.])(authorization(?:{_QUOTE})?\s{{0,2}}[:=]\s{{0,2}}+)(?:(?=[\"'\\]){_VALUE}|(?!\*).++)"
        ),
        rf"\g<1>{MASK}",
    ),
    (("bearer",), re.compile(r"""(?i)\b(bearer\s{1,3})[^\s"',;]++"""), rf"\g<1>{MASK}"),
    (
        _MARK_HINTS,
        re.compile(
            rf"(?is)({_SECRET_NAME}(?:(?:{_QUOTE})?\s{{0,2}}=\s{{0,2}}|{_QUOTE}\s{{0,2}}:\s{{0,2}})){_VALUE}"
        ),
        rf"\g<1>{MASK}",
    ),
    (_MARK_HINTS, re.compile(rf"(?i)({_HEADER_NAME}:\s{{0,2}}){_VALUE}"), rf"\g<1>{MASK}"),
)
