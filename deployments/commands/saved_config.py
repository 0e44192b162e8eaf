"""Configs that are typed in to be saved: reading them, and the secrets in them."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from tasks.errors import PermanentError


def read_config(text: str) -> dict[str, Any]:
    """A --config as it was typed, or from standard input for -. Raises PermanentError where it is no object."""
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise PermanentError(f"--config is not JSON: {said}") from None
    if not isinstance(value, dict):
        raise PermanentError("--config must be a JSON object")
    return value


def warn_of_clear_text(paths: Iterable[tuple[str, ...]]) -> None:
    """Say on standard error where a secret was saved itself, and how a reference to it would look."""
    from storage.redaction import redact_text  # noqa: PLC0415  (needed by few)

    for path in paths:
        names = [redact_text(name) for name in path]
        example: Any = {"env": "NAME"}
        for name in reversed(names):
            example = {name: example}
        sys.stderr.write(
            f"watchkeeper: {'.'.join(names)} is saved in clear text; "
            f"better a reference such as {json.dumps(example)}\n"
        )
