"""What differs between a document and what is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.commands.applying.concealing import Path
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections import SECTIONS
from deployments.commands.applying.sections.base import Change, Form, Forms

Sections = dict[str, Forms]


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order; `after` is how all is then, by section."""

    changes: list[Change]
    after: Sections
    unchanged: int

    def faults(self) -> list[str]:
        """Why it cannot be done."""
        return [
            fault for change in self.changes for fault in SECTIONS[change.section].faults(change, self.after)
        ] + self._faults_of_the_whole()

    def _faults_of_the_whole(self) -> list[str]:
        """What stays as it is, but would lead nowhere."""
        changed = {change.place for change in self.changes}
        faults: list[str] = []
        if "definitions" in {change.section for change in self.changes} and "routes" not in changed:
            held = Change("routes", "routes", None, self.after["routes"]["routes"])
            faults += SECTIONS["routes"].faults(held, self.after)
        channels = self.after["channels"]
        for name, form in channels.items():
            fallback = form["policy"]["fallback"]
            if fallback and fallback not in channels and place("channels", name) not in changed:
                faults.append(f"channels.{fallback}: is the fallback of {name}: give that another first")
        return faults


def read_document(data: Any, *, allowed: Mapping[str, Any] = SECTIONS) -> Sections:
    """The sections that a document names. Raises DocumentError with every fault."""
    if not isinstance(data, dict) or not data:
        raise DocumentError([f"must be a mapping with some of {', '.join(allowed)}"])
    faults: list[str] = []
    sections: Sections = {}
    for name, given in data.items():
        if name not in allowed:
            faults.append(f"{name}: unknown key; there are {', '.join(allowed)}")
            continue
        try:
            sections[name] = SECTIONS[name].read(given)
        except DocumentError as error:
            faults.extend(error.faults)
    if faults:
        raise DocumentError(faults)
    return sections


def compare(wanted: Sections, present: Sections, *, prune: bool) -> Plan:
    """The way from what is there to what is wanted. What nobody names stays, unless pruned in its section."""
    changes: list[Change] = []
    after = {section: dict(forms) for section, forms in present.items()}
    unchanged = 0
    for name, section in SECTIONS.items():
        if name not in wanted:
            continue
        for entry, form in wanted[name].items():
            before = present[name].get(entry)
            complete = section.complete(entry, form, before)
            after[name][entry] = complete
            if complete == before:
                unchanged += 1
            else:
                changes.append(Change(name, entry, before, complete, _paths(before, complete)))
        gone = [each for each in present[name] if prune and each not in wanted[name]]
        for entry in gone:
            if section.may_go(entry, present[name][entry]):
                del after[name][entry]
                changes.append(Change(name, entry, present[name][entry], None))
    return Plan(changes, after, unchanged)


def value_at(form: Form | None, path: Path) -> Any:
    """What stands at a path; None where nothing does."""
    found: Any = form
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def _paths(before: Any, after: Any, path: Path = ()) -> list[Path]:
    """The innermost places that differ."""
    if before is None and not path:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in dict.fromkeys([*before, *after]) if key != "is_shipped"]  # follows from the others
        return [each for key in keys for each in _paths(before.get(key), after.get(key), (*path, key))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [each for index, (old, new) in pairs for each in _paths(old, new, (*path, index))]
    return [] if before == after else [path]
