"""What `watchkeeper definitions apply` and `export` do: the machinery of `apply`, for these and routes."""

import sys
from pathlib import Path
from typing import Any

from deployments.commands.apply_actions import Options, apply_sections, say_faults, write_document
from deployments.commands.applying import doing
from deployments.commands.applying.difference import read_document
from deployments.commands.applying.faults import DocumentError
from deployments.commands.applying.reading import STDIN, read_file
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage.settings import load
from tasks.errors import PermanentError

SECTIONS = ("definitions", "routes")


def apply(file: str, *, name: str = "", dry_run: bool, as_json: bool) -> int:
    """Save the definitions and routes of a file.

    A file that is one definition (it has nodes) is saved under the name, or else under the file's own.
    """
    try:
        wanted = read_document(_document(file, read_file(file), name))
        return apply_sections(wanted, Options(dry_run=dry_run, as_json=as_json))
    except DocumentError as error:
        return say_faults(file, error, as_json=as_json)


def export(name: str | None = None, *, output: str = STDIN) -> int:
    """Write one definition, or all that are not as we ship them and the routes."""
    with installed_database(load()) as database, database.read() as session:
        sections = doing.present(session)
    if not name:
        return write_document({section: sections[section] for section in SECTIONS}, output)
    form = sections["definitions"].get(name)
    if form is None:
        raise PermanentError(f"there is no definition {name!r}: `watchkeeper definitions list` lists them")
    return write_document({"definitions": {name: form | {"is_shipped": False}}}, output)


def _document(file: str, data: Any, name: str) -> Any:
    if not isinstance(data, dict):
        return data
    if "nodes" in data:
        stem = "" if file == STDIN else Path(file).stem
        if not (name or stem):
            raise WrongUseError("--name: give the definition a name, since standard input has none")
        return {"definitions": {name or stem: {"config": data}}}
    if name:
        raise WrongUseError(f"--name: is for a file that is one definition, with nodes; {file} names its own")
    left_out = [section for section in data if section not in SECTIONS]
    if left_out and len(left_out) < len(data):
        sys.stderr.write(f"watchkeeper: left out: {', '.join(left_out)}; `watchkeeper apply` takes all\n")
        return {section: data[section] for section in SECTIONS if section in data}
    return data
