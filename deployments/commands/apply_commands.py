"""`watchkeeper apply` and `watchkeeper export`: an installation as one file.

What the commands do stands in apply_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import Parameter

File = Annotated[str, Parameter(help="A YAML or JSON file; - is standard input.", allow_leading_hyphen=True)]


def apply(
    file: File,
    /,
    *,
    dry_run: Annotated[bool, Parameter(help="Only show what would change.", negative="")] = False,
    prune: Annotated[
        bool,
        Parameter(
            help="Also remove what the file does not name, in the sections that it has. Presets stay.", negative=""
        ),
    ] = False,
    exit_code: Annotated[
        bool, Parameter(help="Exit with 3 where something differs, for CI.", negative="")
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")] = False,
) -> int:
    """See cli.py."""
    from deployments.commands import apply_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    options = apply_actions.Options(dry_run=dry_run, prune=prune, exit_code=exit_code, as_json=as_json)
    return apply_actions.apply(file, options)


def export(
    *,
    output: Annotated[
        str,
        Parameter(
            help="The file to write, JSON where it ends so; - is standard output.", allow_leading_hyphen=True
        ),
    ] = "-",
) -> int:
    """See cli.py."""
    from deployments.commands import apply_actions  # noqa: PLC0415

    return apply_actions.export(output)
