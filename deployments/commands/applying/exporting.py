"""The installation as a document that `watchkeeper apply` takes."""

import json
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from deployments.commands.applying.concealing import Path
from deployments.commands.applying.difference import Sections
from deployments.commands.applying.sections import SECTIONS

HEADER = "# Watchkeeper: `watchkeeper apply FILE` makes an installation so.\n"


def document_of(sections: Sections) -> tuple[dict[str, Any], dict[str, Path]]:
    """The document, by name, and the variables that stand in it for secrets kept in clear, with their places."""
    found: dict[str, Path] = {}
    document: dict[str, Any] = {}
    for name, forms in sections.items():
        section = SECTIONS[name]
        written = {entry: section.written(entry, forms[entry], found) for entry in sorted(forms)}
        kept = {entry: form for entry, form in written.items() if form is not None}
        if kept:
            document[name] = kept.get(name) if name == "routes" else kept
    return document, found


def as_yaml(document: dict[str, Any], variables: dict[str, Path] | None = None) -> str:
    """The document's text, with a note for each variable that must be set where it is applied."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 110
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel names it None
    yaml.representer.ignore_aliases = lambda _data: True
    text = StringIO()
    yaml.dump(json.loads(json.dumps(document)), text)
    notes = [
        f"# {name}: a secret that is kept in clear; set it before this is applied.\n" for name in variables or {}
    ]
    return "".join([HEADER, *notes, text.getvalue()])
