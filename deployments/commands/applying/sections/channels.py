"""Where notifications go."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path, hidden, with_placeholders
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import Change, Form, Forms, Whole, faults_in, mapping_of
from deployments.commands.durations import read_seconds
from storage import channels as rows
from storage.records import ChannelPolicy
from storage.redaction import redact_text
from storage.storable import storable
from tasks.errors import PermanentError, TransientError
from tasks.notify import retiring, saving
from tasks.notify.driver_keys import clear_text_paths, shown_config

DESCRIPTION_MAX_CHARS = 2_000
DURATIONS = ("repeat_interval_seconds", "update_interval_seconds")


class Entry(BaseModel, extra="forbid", strict=True):
    """One channel. Whether it is active stays as it is where that is left out."""

    driver: str
    config: dict[str, Any] = Field(default_factory=dict)
    description: str = Field(default="", max_length=DESCRIPTION_MAX_CHARS)
    policy: dict[str, Any] = Field(default_factory=dict)
    is_active: bool | None = None


class Channels:
    """See Section."""

    name = "channels"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        entries, faults = mapping_of(self.name, given)
        forms: Forms = {}
        for name, entry in entries.items():
            try:
                form = Entry.model_validate(storable(entry)).model_dump()
                saving.check_name(name, kind=form["driver"])
                forms[name] = form | {"policy": _policy(name, form["policy"])}
            except ValidationError as error:
                faults.extend(faults_in(error, Entry, self.name, name))
            except PermanentError as error:
                faults.append(f"{place(self.name, name)}: {error}")
            except DocumentError as error:
                faults.extend(error.faults)
        if faults:
            raise DocumentError(faults)
        return forms

    def present(self, session: Session) -> Forms:
        """See Section.present."""
        return {
            row.name: {
                "driver": row.driver,
                "config": row.config,
                "description": row.description,
                "policy": ChannelPolicy.model_validate(row.policy).model_dump(mode="json"),
                "is_active": row.is_active,
            }
            for row in rows.list_channels(session)
        }

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name
        is_active = present["is_active"] if present else True
        return wanted if wanted["is_active"] is not None else wanted | {"is_active": is_active}

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        channels = after[self.name]
        if change.after is None:
            return
        fallback, rate = (change.after["policy"][key] for key in ("fallback", "rate_per_minute"))
        policy = place(self.name, change.name, "policy")
        if rate and rate < saving.RATE_MIN:
            yield f"{policy}.rate_per_minute: 0, or at least {saving.RATE_MIN}"
        if fallback == change.name:
            yield f"{policy}.fallback: a channel cannot be its own"
        elif fallback and fallback not in channels:
            yield f"{policy}.fallback: there is no channel {fallback!r}"
        yield from self._faults_of_config(change, change.after)

    def _faults_of_config(self, change: Change, form: Form) -> Iterator[str]:
        before = change.before or {}
        if all(form[key] == before.get(key) for key in ("driver", "config")) and not _is_woken(change):
            return
        at = place(self.name, change.name)
        try:
            saving.check_config(form["driver"], form["config"], stored=before.get("config"))
        except (PermanentError, TransientError) as error:
            told = str(error)
            yield f"{at}.{told}" if told.startswith("driver: ") else f"{at}.config.{told}"

    def do(self, session: Session, change: Change) -> None:
        """See Section.do."""
        before, after = change.before, change.after
        if before and (after is None or after["driver"] != before["driver"]):
            # Of another driver it is another channel: how the old one fared says nothing of it.
            retiring.remove(session, change.name)
            before = None
        if after is None:
            return
        policy = ChannelPolicy.model_validate(after["policy"])
        if before is None:
            rows.add_channel(session, name=change.name, **{**after, "policy": policy})
            return
        if not after["is_active"] and before["is_active"]:
            retiring.switch_off(session, change.name)
        config = after["config"] if after["config"] != before["config"] else None
        rows.edit_channel(session, change.name, config=config, description=after["description"], policy=policy)
        if _is_woken(change):
            rows.set_active(session, change.name, is_active=True)

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go."""
        del name, form
        return True

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        return form | {"config": _hidden(form), "description": redact_text(form["description"])}

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        if form:
            yield from (("config", *path) for path in clear_text_paths(form["driver"], form["config"]))

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        path = (self.name, name, "config")
        policy = ChannelPolicy.model_validate(form["policy"]).model_dump(mode="json", exclude_defaults=True)
        parts = {
            "driver": form["driver"],
            "description": redact_text(form["description"]),
            "config": with_placeholders(form["config"], shown_config(form["driver"], form["config"]), path, found),
            "policy": policy,
        }
        entry = {key: value for key, value in parts.items() if value}
        return entry if form["is_active"] else entry | {"is_active": False}


def _policy(name: str, given: dict[str, Any]) -> dict[str, Any]:
    at = ("channels", name, "policy")
    faults: list[str] = []
    read: dict[str, Any] = {}
    for key, value in given.items():
        try:
            read[key] = read_seconds(value) if key in DURATIONS and isinstance(value, str) else value
        except ValueError as error:
            faults.append(f"{place(*at, key)}: {error}")
    try:
        policy = ChannelPolicy.model_validate(read)
    except ValidationError as error:
        faults.extend(faults_in(error, ChannelPolicy, *at))
    if faults:
        raise DocumentError(faults)
    return policy.model_dump(mode="json")


def _is_woken(change: Change) -> bool:
    before, after = change.before, change.after
    return bool(before and after and after["is_active"] and not before["is_active"])


def _hidden(form: Form) -> Any:
    return hidden(form["config"], shown_config(form["driver"], form["config"]))
