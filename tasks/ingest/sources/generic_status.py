"""Whether a home-made alert fires: from the words in common use, or from a plain true or false.

What we do not know is refused: it must neither wake somebody nor close what is open.
"""

import re
from collections.abc import Mapping
from typing import Any

from storage.vocabulary import AlertStatus, Lifecycle
from tasks.ingest.sources.base import UnreadablePayloadError, text_of

STATUSES = ("status", "state")
FIRING = frozenset(
    [
        *["firing", "alerting", "alert", "alarm", "triggered", "trigger", "problem", "open", "opened", "active"],
        *["critical", "crit", "warning", "warn", "error", "fail", "failed", "failing", "failure", "no data"],
        *["down", "unhealthy", "unreachable", "offline"],
    ]
)
RESOLVED = frozenset(
    [
        *["resolved", "ok", "okay", "recovered", "recovery", "closed", "cleared", "clear", "inactive", "normal"],
        *["success", "successful", "succeeded", "passed", "passing", "up", "healthy", "online", "fixed"],
    ]
)
LIFECYCLES = {
    **dict.fromkeys(["acknowledged", "acked", "ack"], Lifecycle.ACKNOWLEDGED),
    "unacknowledged": Lifecycle.UNACKNOWLEDGED,
}
FLAGS = {
    "firing": {"true": AlertStatus.FIRING, "false": AlertStatus.RESOLVED},
    "resolved": {"true": AlertStatus.RESOLVED, "false": AlertStatus.FIRING},
}


def state_of(entry: Mapping[str, Any]) -> str:
    """The word for the state, without signs: "🔴 Down" is down, no_data is no data. Empty where none is given."""
    given = next((entry[name] for name in STATUSES if text_of(entry.get(name)).strip()), None)
    if given is None:
        return ""
    state = re.sub(r"[\W_]+", " ", given).strip().casefold() if isinstance(given, str) else ""
    if state not in FIRING | RESOLVED | LIFECYCLES.keys():
        raise UnreadablePayloadError("status is neither a firing nor a resolved word")
    return state


def status_of(entry: Mapping[str, Any], state: str) -> AlertStatus | None:
    """Firing or resolved, as the state and the flags say together; None where they say nothing.

    Flags that are neither true nor false are counts, say, and pass where there is a state.
    """
    flags = {FLAGS[name].get(text_of(entry[name]).casefold()) for name in FLAGS if entry.get(name) is not None}
    if None in flags and not state:
        raise UnreadablePayloadError("firing and resolved must be true or false")
    said = {flag for flag in flags if flag}
    if state:
        said.add(AlertStatus.RESOLVED if state in RESOLVED else AlertStatus.FIRING)
    if len(said) > 1:
        raise UnreadablePayloadError("status, firing and resolved contradict each other")
    return next(iter(said), None)


def is_silent(entry: Mapping[str, Any]) -> bool:
    """Whether an entry says nothing of its state, so that the body's may speak for it."""
    return not any(text_of(entry.get(name)).strip() for name in (*STATUSES, *FLAGS))


def shared_status(payload: Mapping[str, Any]) -> dict[str, str]:
    """The state of a body that is meant for its alerts: ok and success may be about the message itself."""
    word = text_of(payload.get("status")).casefold()
    return {"status": word} if word in {"firing", "resolved"} else {}
