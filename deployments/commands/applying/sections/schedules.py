"""When pipelines run by themselves: {every: 5m}, {cron: "0 6 * * *", timezone: Europe/Berlin}, or off."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import Change, Form, Forms, Whole, faults_in, mapping_of
from deployments.commands.durations import read_seconds, said
from storage import definitions as rows
from tasks.definition.library import save_presets
from tasks.definition.presets import PRESETS
from tasks.definition.schedule import Schedule

OFF = "off"


class Entry(BaseModel, extra="forbid", strict=True):
    """A schedule as people write it."""

    every: str | int | float | None = None
    cron: str = ""
    timezone: str = "UTC"


class Schedules:
    """See Section. The form of `off` is {}: nothing is wished."""

    name = "schedules"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        entries, faults = mapping_of(self.name, given)
        forms: Forms = {}
        for name, entry in entries.items():
            try:
                forms[name] = _read(name, entry)
            except DocumentError as error:
                faults.extend(error.faults)
        if faults:
            raise DocumentError(faults)
        return forms

    def present(self, session: Session) -> Forms:
        """See Section.present: every pipeline has one, if only `off`."""
        off: Forms = {name: {} for name in PRESETS}
        return off | {
            row.name: _form(Schedule.model_validate(row.schedule)) if row.schedule else {}
            for row in rows.list_definitions(session)
        }

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name, present
        return wanted

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        if change.name not in after["definitions"] and change.after is not None:
            known = ", ".join(after["definitions"])
            yield f"{change.place}: there is no pipeline {change.name!r}; there are {known}"

    def do(self, session: Session, change: Change) -> None:
        """See Section.do."""
        if rows.find(session, change.name) is None:
            save_presets(session)
        schedule = _schedule(change.after).model_dump(mode="json") if change.after else None
        rows.set_schedule(session, change.name, schedule)

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go."""
        del name
        return bool(form)

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        return form

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        del form
        yield from ()

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        del name, found
        return form or None


def _read(name: str, given: Any) -> Form:
    at = ("schedules", name)
    if given in (OFF, False):
        return {}
    try:
        entry = Entry.model_validate(given)
        if (entry.every is None) is not bool(entry.cron):
            raise DocumentError([f"{place(*at)}: must have every or cron, and not both"])
        return _form(_schedule(entry.model_dump()))
    except ValidationError as error:
        if not isinstance(given, dict):
            raise DocumentError([f'{place(*at)}: off, {{every: 5m}}, or {{cron: "*/5 * * * *"}}']) from None
        faults = [fault.replace("every_seconds", "every") for fault in faults_in(error, Entry, *at)]
        raise DocumentError(faults) from None
    except ValueError as error:
        raise DocumentError([f"{place(*at, 'every')}: {error}"]) from None


def _schedule(form: Form) -> Schedule:
    """Raises ValueError for what is no duration, ValidationError for what is no schedule."""
    if form.get("every") is not None:
        return Schedule(every_seconds=read_seconds(str(form["every"])))
    return Schedule(cron=form["cron"], timezone=form["timezone"])


def _form(schedule: Schedule) -> Form:
    if schedule.every_seconds is not None:
        return {"every": said(schedule.every_seconds)}
    return {"cron": schedule.cron, "timezone": schedule.timezone}
