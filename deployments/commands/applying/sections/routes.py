"""Which pipeline takes which delivery: one entry, the rules as a whole."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from deployments.commands.applying.concealing import Path
from deployments.commands.applying.faults import DocumentError, place
from deployments.commands.applying.sections.base import APPLIER, Change, Form, Forms, Whole, faults_in
from storage import routes as rows
from storage.redaction import redact
from storage.storable import storable
from tasks.definition.routes import Routes, check


class RouteRules:
    """See Section."""

    name = "routes"

    def read(self, given: Any) -> Forms:
        """See Section.read."""
        try:
            routes = Routes.model_validate(storable(given))
        except ValidationError as error:
            raise DocumentError(faults_in(error, Routes, self.name)) from None
        return {self.name: routes.model_dump(mode="json")}

    def present(self, session: Session) -> Forms:
        """See Section.present. None saved is none at all, which is the same as rules that are empty."""
        held = rows.current(session)
        if held is None:
            return {self.name: Routes().model_dump(mode="json")}
        routes = Routes.model_validate({"rules": held.rules, "default": held.default_pipeline})
        return {self.name: routes.model_dump(mode="json")}

    def complete(self, name: str, wanted: Form, present: Form | None) -> Form:
        """See Section.complete."""
        del name, present
        return wanted

    def faults(self, change: Change, after: Whole) -> Iterator[str]:
        """See Section.faults."""
        del change
        yield from faults_of_routes(after)

    def do(self, session: Session, change: Change) -> None:
        """See Section.do."""
        form = change.after or {"rules": [], "default": ""}
        rows.save(session, rules=form["rules"], default_pipeline=form["default"], created_by=APPLIER)

    def may_go(self, name: str, form: Form) -> bool:
        """See Section.may_go: they are always there, if only as none."""
        del name, form
        return False

    def shown(self, form: Form) -> Form:
        """See Section.shown."""
        return dict(redact(form))

    def clear_text(self, form: Form) -> Iterator[Path]:
        """See Section.clear_text."""
        del form
        yield from ()

    def written(self, name: str, form: Form, found: dict[str, Path]) -> Any:
        """See Section.written."""
        del name, found
        routes = Routes.model_validate(form).model_dump(mode="json", exclude_defaults=True)
        return routes or None


def faults_of_routes(after: Whole) -> list[str]:
    """Where the rules, as they would be then, name a pipeline that would not be there."""
    pipelines = [name for name, form in after["definitions"].items() if form["is_active"] and _ingests(form)]
    routes = Routes.model_validate(after["routes"]["routes"])
    return [f"{place('routes')}: {fault}" for fault in check(routes, pipelines)]


def _ingests(form: Form) -> bool:
    nodes = (form["config"] or {}).get("nodes")
    return isinstance(nodes, list) and any(
        isinstance(node, dict) and node.get("type") == "ingest" for node in nodes
    )
