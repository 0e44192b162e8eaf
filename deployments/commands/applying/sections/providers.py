"""AI providers, of which at most one is active."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path, hidden, with_placeholders
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import Change, Form, Forms, Whole, faults_in, mapping_of
from storage import providers as rows
from storage.redaction import redact, redact_text
from storage.storable import storable
from tasks.analyze.providers import UnreadableSecretError, build
from tasks.errors import PermanentError, TransientError
from tasks.notify.saving import READABLE_WHERE

NAME_MAX_CHARS = 128


class Entry(BaseModel, extra="forbid", strict=True):
    """One provider. Whether it is active stays as it is where that is left out."""

    provider: str
    config: dict[str, Any] = Field(default_factory=dict)
    description: str = ""
    is_active: bool | None = None


class Providers:
    """See Section."""

    name = "providers"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        entries, faults = mapping_of(self.name, given)
        forms: Forms = {}
        for name, entry in entries.items():
            if not name.strip() or not name.isprintable() or len(name) > NAME_MAX_CHARS:
                faults.append(
                    f"{place(self.name, name)}: the name must be text of 1 to {NAME_MAX_CHARS} characters"
                )
            try:
                forms[name] = Entry.model_validate(storable(entry)).model_dump()
            except ValidationError as error:
                faults.extend(faults_in(error, Entry, self.name, name))
        active = [name for name, form in forms.items() if form["is_active"]]
        if len(active) > 1:
            faults.append(f"{self.name}: {', '.join(active)}: only one can be active")
        if faults:
            raise DocumentError(faults)
        return forms

    def present(self, session: Session) -> Forms:
        """See Section.present."""
        return {
            row.name: {
                "provider": row.provider,
                "config": row.config,
                "description": row.description,
                "is_active": row.is_active,
            }
            for row in rows.list_providers(session)
        }

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name
        is_active = bool(present and present["is_active"])
        return wanted if wanted["is_active"] is not None else wanted | {"is_active": is_active}

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        del after
        if change.after is None:
            return
        at = place(self.name, change.name)
        try:
            build(change.after["provider"], change.after["config"])
        except UnreadableSecretError as error:
            yield f"{at}.config: {error}; {READABLE_WHERE}"
        except (PermanentError, TransientError) as error:
            told = str(error)
            yield f"{at}.{told}" if told.startswith("provider: ") else f"{at}.config: {told}"

    def do(self, session: Session, change: Change) -> None:
        """See Section.do."""
        before, after = change.before, change.after
        if before and (after is None or after["provider"] != before["provider"]):
            rows.remove_provider(session, change.name)
            before = None
        if after is None:
            return
        config, description = after["config"], after["description"]
        if before is None:
            rows.add_provider(
                session, name=change.name, provider=after["provider"], config=config, description=description
            )
        else:
            rows.edit_provider(session, change.name, config=config, description=description)
        if after["is_active"]:
            rows.activate(session, change.name)
        elif (row := rows.find(session, change.name)) and row.is_active:  # not where another one took over
            rows.deactivate(session)

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go."""
        del name, form
        return True

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        config = hidden(form["config"], redact(form["config"]))
        return form | {"config": config, "description": redact_text(form["description"])}

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        config = form.get("config") or {}
        yield from (("config", key) for key, value in config.items() if redact({key: value}) != {key: value})

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        config = form["config"]
        parts = {
            "provider": form["provider"],
            "description": redact_text(form["description"]),
            "config": with_placeholders(config, redact(config), (self.name, name, "config"), found),
            "is_active": form["is_active"],
        }
        return {key: value for key, value in parts.items() if value}
