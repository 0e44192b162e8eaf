"""`watchkeeper definitions`: the saved pipelines, to look through, check, change and forget.

What the commands do stands in definition_actions.py and definition_apply_actions.py, so that --help imports none
of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter

definitions = App(name="definitions", help_format="plaintext")  # Markdown takes a quarter of a second more

Json = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")]
# A leading hyphen, because - is one.
File = Annotated[str, Parameter(help="A file; - is standard input.", allow_leading_hyphen=True)]


@definitions.command(name="list")
def list_all(*, as_json: Json = False) -> None:
    """List the definitions by name, those that are switched off as well."""
    from deployments.commands import definition_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    definition_actions.list_all(as_json=as_json)


@definitions.command
def show(
    name: str,
    /,
    *,
    version: Annotated[int | None, Parameter(help="As it was at that version.")] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Everything that is known of it, with its versions.", negative="")
    ] = False,
) -> None:
    """Print a definition's JSON, which `definitions validate` and `run-pipeline --config` take again."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.show(name, version=version, as_json=as_json)


@definitions.command
def validate(
    name: Annotated[
        str,
        Parameter(help="A saved definition's name, or a file; - is standard input.", allow_leading_hyphen=True),
    ],
    /,
    *,
    as_json: Json = False,
) -> int:
    """Say everything that is wrong with a definition. Exits with 1 where anything is."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    return definition_actions.validate(name, as_json=as_json)


@definitions.command
def apply(
    file: Annotated[str, Parameter(help="A YAML or JSON file; - is standard input.", allow_leading_hyphen=True)],
    /,
    *,
    name: Annotated[
        str, Parameter(help="How a file that is one definition is saved; without it as the file is called.")
    ] = "",
    dry_run: Annotated[bool, Parameter(help="Only show what would change.", negative="")] = False,
    as_json: Json = False,
) -> int:
    """Save the definitions and routes of a file; those that are as the file says stay as they are."""
    from deployments.commands import definition_apply_actions  # noqa: PLC0415

    return definition_apply_actions.apply(file, name=name, dry_run=dry_run, as_json=as_json)


@definitions.command
def export(
    name: Annotated[str | None, Parameter(help="Only this one; without it all of them and the routes.")] = None,
    /,
    *,
    output: Annotated[
        str, Parameter(help="The file to write; - is standard output.", allow_leading_hyphen=True)
    ] = "-",
) -> int:
    """Write definitions as `definitions apply` takes them."""
    from deployments.commands import definition_apply_actions  # noqa: PLC0415

    return definition_apply_actions.export(name, output=output)


@definitions.command
def activate(name: str, /) -> None:
    """Let a definition be run. It must be without fault."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.activate(name)


@definitions.command
def deactivate(name: str, /) -> None:
    """Let a definition not be run any more; runs that have begun go on. Not one that a route names."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.deactivate(name)


@definitions.command
def rename(name: str, new_name: str, /) -> None:
    """Give a definition another name; its runs keep the old one. Not one that a route names."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.rename(name, new_name)


@definitions.command
def delete(name: str, /) -> None:
    """Forget a definition; runs that have begun go on with the version they have. Not one that a route names."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.delete(name)


@definitions.command
def schema() -> None:
    """Print the JSON Schema of a definition, for an editor."""
    from deployments.commands import definition_actions  # noqa: PLC0415

    definition_actions.schema()
