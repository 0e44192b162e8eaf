"""Pipelines. An entry without a config says only whether one that is there, or a preset, is active."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path, hidden, with_placeholders
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import APPLIER, Change, Form, Forms, Whole, faults_in, mapping_of
from storage import definitions as rows
from storage.redaction import redact, redact_text
from storage.storable import storable
from tasks.definition.checking import faults_of
from tasks.definition.library import save_presets
from tasks.definition.model import Definition
from tasks.definition.naming import fault_of_name
from tasks.definition.presets import PRESETS, preset


class Entry(BaseModel, extra="forbid", strict=True):
    """One definition. Without description and tags it has those of its config."""

    config: dict[str, Any] | None = None
    description: str | None = None
    tags: list[str] | None = None
    is_active: bool | None = None


class Definitions:
    """See Section."""

    name = "definitions"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        entries, faults = mapping_of(self.name, given)
        forms: Forms = {}
        for name, entry in entries.items():
            if fault := fault_of_name(name):
                faults.append(f"{place(self.name, name)}: the name {fault}")
            try:
                form = forms[name] = Entry.model_validate(storable(entry)).model_dump()
                at = place(self.name, name, "config")
                if form["config"] is not None:
                    faults.extend(f"{at}: {fault}" for fault in faults_of(form["config"]))
            except ValidationError as error:
                faults.extend(faults_in(error, Entry, self.name, name))
        if faults:
            raise DocumentError(faults)
        return forms

    def present(self, session: Session) -> Forms:
        """See Section.present. Presets are there even before the first start has stored them."""
        forms = {name: _form_of_preset(name) for name in PRESETS}
        for row in rows.list_definitions(session):
            if row.created_by == rows.SHIPPED and row.name in PRESETS:
                forms[row.name]["is_active"] = row.is_active
                continue
            forms[row.name] = {
                "config": row.config,
                "description": row.description,
                "tags": row.tags,
                "is_active": row.is_active,
                "is_shipped": False,
            }
        return forms

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name
        before = present or {"is_active": True, "is_shipped": False, "config": None}
        config = before["config"] if _is_same(wanted["config"], before["config"]) else wanted["config"]
        own = config or {}
        fallback = before if wanted["config"] is None else own
        said = {
            "config": config,
            "description": fallback.get("description", "")
            if wanted["description"] is None
            else wanted["description"],
            "tags": fallback.get("tags", []) if wanted["tags"] is None else wanted["tags"],
            "is_active": before["is_active"] if wanted["is_active"] is None else wanted["is_active"],
        }
        is_as_shipped = before["is_shipped"] and all(
            said[key] == before[key] for key in ("config", "description", "tags")
        )
        return said | {"is_shipped": is_as_shipped}

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        del after
        if change.after and change.after["config"] is None:
            yield f"{change.place}.config: must be given, since there is no definition {change.name!r} yet"

    def do(self, session: Session, change: Change) -> None:
        """See Section.do."""
        if change.after is None:
            rows.remove(session, change.name)
            return
        if change.name in PRESETS:
            save_presets(session)
        after = change.after
        if not after["is_shipped"]:
            row = rows.save(
                session,
                name=change.name,
                config=after["config"],
                description=after["description"],
                tags=after["tags"],
                created_by=APPLIER,
            )
            # Also where only its description differs: else the next start would take that back.
            row.created_by = APPLIER
        rows.set_active(session, change.name, is_active=after["is_active"])

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go."""
        del form
        return name not in PRESETS

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        config = form["config"] and hidden(form["config"], redact(form["config"]))
        return form | {"config": config, "description": redact_text(form["description"])}

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        config = form.get("config")
        if config and redact(config) != config:
            yield ("config",)

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        entry: dict[str, Any] = {} if form["is_active"] else {"is_active": False}
        if form["is_shipped"]:
            return entry or None
        config = form["config"]
        for key, default in (("description", ""), ("tags", [])):
            if form[key] != config.get(key, default):
                entry[key] = redact(form[key])
        path = (self.name, name, "config")
        return entry | {"config": with_placeholders(config, redact(config), path, found)}


def _form_of_preset(name: str) -> Form:
    definition = preset(name)
    config = definition.model_dump(mode="json", exclude_defaults=True) | {"version": definition.version}
    return {
        "config": config,
        "description": definition.description,
        "tags": definition.tags,
        "is_active": True,
        "is_shipped": True,
    }


def _is_same(wanted: Any, present: Any) -> bool:
    """Whether two configs mean the same, whatever they spell out."""
    if wanted is None or wanted == present:
        return True
    if present is None:
        return False
    try:
        return bool(Definition.model_validate(wanted) == Definition.model_validate(present))
    except ValidationError:
        return False
