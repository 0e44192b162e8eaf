"""The credentials of the monitoring systems that post, by reference only. They live in a file (kept_auth.py)."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path, hidden, with_placeholders
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import Change, Form, Forms, Whole, mapping_of
from storage.redaction import MASK, is_reference
from storage.settings import SettingsError, load
from tasks.ingest.sources import SOURCES
from webhook_app import keyring

SECRET_KEYS = ("tokens", "basic", "secrets")
# In `session.info`: the entries as they are to be written once all else is committed.
PENDING = "watchkeeper.webhook_auth"


class Sources:
    """See Section."""

    name = "sources"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        entries, faults = mapping_of(self.name, given)
        for source, entry in entries.items():
            at = place(self.name, source)
            if source not in SOURCES:
                faults.append(f"{at}: unknown source; there are {', '.join(SOURCES)}")
            elif not isinstance(entry, dict):
                faults.append(f"{at}: must be a mapping with tokens, basic or secrets")
            else:
                faults.extend(_clear_secrets(at, entry))
        if faults:
            raise DocumentError(faults)
        return entries

    def present(self, session: Session) -> Forms:
        """See Section.present."""
        del session
        return keyring.entries(load())

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name, present
        return wanted

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        del after
        settings = load()
        if settings.webhook_auth or settings.webhook_auth_file:
            variable = keyring.FILE if settings.webhook_auth_file else keyring.ENTRIES
            yield f"{change.place}: {variable} is set, and counts in place of this: change it there, or unset it"
        if change.after is None:
            return
        try:
            keyring.check_entry(self.name, change.name, change.after)
        except SettingsError as error:
            yield str(error).replace(f"{self.name}: ", f"{self.name}.", 1)

    def do(self, session: Session, change: Change) -> None:
        """See Section.do: noted, and written by who commits."""
        entries = session.info.setdefault(PENDING, self.present(session))
        if change.after is None:
            del entries[change.name]
        else:
            entries[change.name] = change.after

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go."""
        del name, form
        return True

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        return dict(hidden(form, _masked(form)))

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        del form
        yield from ()

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        return with_placeholders(form, _masked(form), (self.name, name), found)


def _masked(form: Form) -> Form:
    return {key: MASK if key in SECRET_KEYS else value for key, value in form.items()}


def _clear_secrets(at: str, entry: Form) -> Iterator[str]:
    for key in SECRET_KEYS:
        values = entry.get(key, [])
        for index, value in enumerate(values if isinstance(values, list) else [values]):
            if not is_reference(value):
                yield f'{at}.{key}[{index}]: must be a reference, {{"env": "NAME"}} or {{"file": "PATH"}}'
