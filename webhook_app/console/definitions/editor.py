"""The pages on which a definition is written: its JSON with what is wrong beside it, saved as a new version."""

from dataclasses import dataclass, field
from typing import Any

from flask import abort, flash, jsonify, redirect, request
from flask_admin import expose
from werkzeug.wrappers import Response

from storage.definitions import DefinitionExistsError, DefinitionNotFoundError
from storage.storable import storable_text
from storage.tables import PipelineDefinition
from storage.vocabulary import AuditOutcome
from tasks.definition.naming import fault_of_name
from tasks.definition.saving import warnings_of
from webhook_app import definition_changes as changes
from webhook_app import query
from webhook_app.console.access import Person, operator
from webhook_app.console.definitions.deeds import GONE, add_entry, editor_of, told_of
from webhook_app.console.definitions.page import difference
from webhook_app.console.definitions.text import Fault, Reading, read_text, text_of
from webhook_app.console.table_view import TableView, reading
from webhook_app.state import state

EMPTY = {
    "version": "1.0",
    "nodes": [{"id": "ingest", "type": "ingest", "next": "notify"}, {"id": "notify", "type": "notify"}],
}


@dataclass
class Draft:
    """What stands in the form: `version` is the one that the person began with, 0 for a new definition."""

    name: str = ""
    description: str = ""
    tags: str = ""
    text: str = ""
    version: int = 0
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_checked: bool = False
    # What somebody else has saved meanwhile, as the difference to the text here.
    other: list[tuple[str, str]] = field(default_factory=list)

    def tag_list(self) -> list[str]:
        """The tags, each once."""
        return list(dict.fromkeys(tag for each in self.tags.split(",") if (tag := each.strip())))


class DefinitionEditor(TableView):
    """`/admin/definitions/edit/` and `/new/`."""

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Write a new definition."""
        who = operator()
        draft = _sent() if request.method == "POST" else Draft(text=text_of(EMPTY))
        return self._edit(who, draft, None)

    @expose("/edit/", methods=("GET", "POST"))
    def edit_view(self) -> Any:
        """Write a new version of a definition."""
        who = operator()
        with reading():
            row = self.get_one(request.args.get("id", ""))
            if row is None:
                abort(404, "there is no definition of that number")
        draft = _sent() if request.method == "POST" else _of_row(row)
        return self._edit(who, draft, row)

    @expose("/validate/", methods=("POST",))
    def validate_view(self) -> Response:
        """What is wrong with a text, for the script beside the form."""
        operator()
        with state().database.read() as session:
            pk = query.read_id(request.form.get("id", ""))
            row = None if pk is None else session.get(PipelineDefinition, pk)
            found = read_text(request.form.get("text", ""), saved=row.config if row else {})
            warnings = [] if found.faults else warnings_of(session, found.config)
        faults = [{"message": each.message, "line": each.line, "column": each.column} for each in found.faults]
        return jsonify(faults=faults, warnings=warnings)

    def _edit(self, who: Person, draft: Draft, row: PipelineDefinition | None) -> Any:
        if request.method == "GET":
            return self._form(draft, row)
        found = _check(draft, row)
        if draft.faults or request.form.get("do") != "save":
            return self._form(draft, row, status=400 if draft.faults else 200)
        try:
            pk, version = _save(who, draft, row, found)
        except changes.RefusedError as error:
            draft.faults = [Fault(told_of(error))]
            if row is not None and error.fields.get("version"):
                _show_other(draft, row, found, int(error.fields["version"]))
        except DefinitionExistsError as error:
            draft.faults = [Fault(f"name: {error}")]
        except DefinitionNotFoundError:
            draft.faults = [Fault(GONE)]
        else:
            flash(f"{draft.name} is saved as version {version}", "done")
            return redirect(self.url_of(pk))
        _record_refusal(who, draft, row)
        return self._form(draft, row, status=409)

    def _form(self, draft: Draft, row: PipelineDefinition | None, *, status: int = 200) -> Any:
        title = f"Edit {row.name}" if row else "New definition"
        return self.render("console/definition_edit.html", draft=draft, row=row, title=title), status


def _sent() -> Draft:
    given = {name: storable_text(request.form.get(name, "")) for name in ("name", "description", "tags", "text")}
    return Draft(
        name=given["name"].strip(),
        description=given["description"].strip(),
        tags=given["tags"].strip(),
        text=given["text"].replace("\r\n", "\n"),
        version=query.read_id(request.form.get("version", "")) or 0,
    )


def _of_row(row: PipelineDefinition) -> Draft:
    tags = ", ".join(str(tag) for tag in row.tags)
    return Draft(row.name, row.description, tags, text_of(row.config), row.version)


def _check(draft: Draft, row: PipelineDefinition | None) -> Reading:
    """Fill in what is wrong with a draft, and what may not be meant."""
    found = read_text(draft.text, saved=row.config if row else {})
    draft.is_checked = True
    draft.faults = [*_faults_beside(draft, row), *found.faults]
    if not draft.faults:
        with state().database.read() as session:
            draft.warnings = warnings_of(session, found.config)
    return found


def _faults_beside(draft: Draft, row: PipelineDefinition | None) -> list[Fault]:
    faults = []
    if (row is None or draft.name != row.name) and (fault := fault_of_name(draft.name)):
        faults.append(Fault(f"name: {fault}"))
    if len(draft.description) > changes.DESCRIPTION_MAX_CHARS:
        faults.append(Fault(f"description: at most {changes.DESCRIPTION_MAX_CHARS} characters"))
    tags = draft.tag_list()
    if len(tags) > changes.TAGS_MAX or any(len(tag) > changes.TAG_MAX_CHARS for tag in tags):
        faults.append(
            Fault(f"tags: at most {changes.TAGS_MAX}, each of at most {changes.TAG_MAX_CHARS} characters")
        )
    return faults


def _save(who: Person, draft: Draft, row: PipelineDefinition | None, found: Reading) -> tuple[int, int]:
    """The number of the definition and its version, once it is stored with its entry in the audit."""
    wish = changes.NewConfig(found.config, editor_of(who), draft.description, draft.tag_list())
    with state().database.write() as session:
        if row is None:
            saved = changes.create(session, draft.name, wish)
        else:
            locked = changes.lock(session, row.name, draft.version)
            # The form was read against what was stored then; in between it may have got a secret.
            changes.check_config(wish.config, saved=locked.config)
            saved = changes.replace(session, locked, wish)
            if draft.name != saved.name:
                saved = changes.rename(session, saved, draft.name)
        session.flush()
        said = f"{saved.name}, version {saved.version}"
        add_entry(session, who, saved, action="edit", said=said)
        return saved.id, saved.version


def _record_refusal(who: Person, draft: Draft, row: PipelineDefinition | None) -> None:
    said = f"{draft.name}: {draft.faults[0].message}"
    with state().database.write() as session:
        add_entry(session, who, row, action="edit", said=said, outcome=AuditOutcome.REFUSED)


def _show_other(draft: Draft, row: PipelineDefinition, found: Reading, version: int) -> None:
    """What is stored by now beside what was written; whoever has seen both may save once more."""
    with state().database.read() as session:
        stored = session.get(PipelineDefinition, row.id)
        if stored is None:
            return
        draft.other = difference(stored.config, found.config, names=(f"version {version}", "yours"))
        draft.faults = [
            Fault(
                f"{stored.created_by or 'somebody'} saved version {version} while you edited version"
                f" {draft.version}; nothing of yours is stored. Below is how yours differs from it: to put yours"
                " in its place, save once more."
            )
        ]
        draft.version = version
