"""Regular expressions that are held against what strangers send.

They are RE2's, whose time grows with the text alone: Python's own can take for ever on a text made for that
(`(a+)+$`), and a thread that is at it cannot be stopped. There are no back references and no look-around in it.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from functools import lru_cache
from typing import Any

import re2

PATTERN_MAX_CHARS = 500
TEXT_MAX_CHARS = 512
# Forty names with bars between fit; what is larger is made of counted repeats, which cost a millisecond and more.
MEMORY_MAX_BYTES = 16 * 1024


class PatternError(Exception):
    """The text is no regular expression that can be used; the message says why."""


@lru_cache(maxsize=1024)
def read_pattern(pattern: str) -> Any:
    """The compiled pattern. Raises PatternError."""
    if len(pattern) > PATTERN_MAX_CHARS:
        raise PatternError(f"longer than {PATTERN_MAX_CHARS} characters")
    options = re2.Options()
    options.max_mem = MEMORY_MAX_BYTES
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except UnicodeEncodeError:
        raise PatternError("it is not text") from None
    except re2.error as error:
        said = error.args[0] if error.args else "it cannot be read"
        raise PatternError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None


def is_match(pattern: str, text: str) -> bool:
    """Whether the whole text is as the pattern says; of a long one the first TEXT_MAX_CHARS count.

    A pattern that cannot be used matches nothing.
    """
    try:
        return read_pattern(pattern).fullmatch(text[:TEXT_MAX_CHARS].encode("utf-8", "replace")) is not None
    except PatternError:
        return False
