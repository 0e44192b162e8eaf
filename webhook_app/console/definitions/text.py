"""The JSON of a definition as somebody types it: read, and what is wrong with it said with its place."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.redaction import redact
from storage.storable import storable
from tasks.definition.checking import faults_of
from webhook_app.definition_fields import holds_mask

MASKED = "it holds ***, which stands for a secret that is hidden here: say it anew, or name where it is kept"
_NODE = re.compile(r"node ([A-Za-z0-9_][A-Za-z0-9_.-]*): ")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong; lines and columns count from 1, 0 where the place is not known."""

    message: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Reading:
    """What a text says, or what is wrong with it."""

    config: dict[str, Any]
    faults: list[Fault]


class _TwiceError(ValueError):
    """A key stands twice in one object, of which one would be lost."""


def text_of(config: Any) -> str:
    """A config as it is shown to be edited, without its secrets."""
    return json.dumps(redact(config), indent=2, ensure_ascii=False)


def read_text(text: str, *, saved: Mapping[str, Any]) -> Reading:
    """The config that a text says, with all its faults; `saved` is the one that it is to replace."""
    try:
        config = storable(json.loads(text, object_pairs_hook=_without_repeats, parse_constant=str))
    except json.JSONDecodeError as error:
        return Reading({}, [Fault(f"this is not JSON: {error.msg}", error.lineno, error.colno)])
    except _TwiceError as error:
        return Reading({}, [_fault(str(error), text)])
    except ValueError:
        return Reading({}, [Fault("this is not JSON that can be read: it has a number of too many digits")])
    except RecursionError:
        return Reading({}, [Fault("this is not JSON that can be read: it is nested too deep")])
    if not isinstance(config, dict):
        return Reading({}, [Fault("the definition must be a JSON object with the key nodes", 1, 1)])
    faults = [_fault(fault, text) for fault in faults_of(config)]
    if holds_mask(config, saved):
        faults.insert(0, Fault(MASKED, _line_with("***", text)))
    return Reading(config, faults)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(f"{key}: it stands twice in one object")
        found[key] = value
    return found


def _fault(message: str, text: str) -> Fault:
    """With the line of the node that it names, or of the key that it begins with."""
    if found := _NODE.match(message):
        at = re.search(rf'"id"\s*:\s*"{re.escape(found[1])}"', text)
        return Fault(message, text.count("\n", 0, at.start()) + 1 if at else 0)
    key = message.partition(":")[0].partition(".")[0].partition("[")[0]
    return Fault(message, _line_with(f'"{key}"', text))


def _line_with(part: str, text: str) -> int:
    at = text.find(part)
    return text.count("\n", 0, at) + 1 if at >= 0 else 0
