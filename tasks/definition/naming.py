"""What a pipeline may be called: in a URL, on a command line, and as Prefect's flow and deployment."""

import re

from tasks.definition.presets import REDELIVERY

NAME_MAX_CHARS = 128
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
# What Watchkeeper runs for itself, with a deployment of that name.
RETENTION = "retention"
INTERNAL = frozenset([REDELIVERY, RETENTION])
# How runs of a config that nobody saved are called: this and the path of its file.
ADHOC = "__adhoc__"
# Addresses below /orchestration/definitions/ that are no definition's.
PAGES = frozenset(["schema", "validate"])


def fault_of_name(name: str) -> str:
    """Why a pipeline cannot be called that; empty where it can."""
    if len(name) > NAME_MAX_CHARS or not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
        return f"must be 1 to {NAME_MAX_CHARS} letters a to z, digits, _, . and -, and begin with no . or -"
    if name in INTERNAL:
        return "is taken by what Watchkeeper runs for itself"
    if name.startswith(ADHOC):
        return f"must not begin with {ADHOC}, as runs of a config that nobody saved do"
    if name in PAGES:
        return f"is taken by /orchestration/definitions/{name}/"
    return ""
