"""`watchkeeper routes`: which pipeline takes which webhook, where its URL does not say.

What the commands do stands in route_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter

routes = App(name="routes", help_format="plaintext")  # Markdown takes a quarter of a second more

Json = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")]


@routes.command
def show(*, as_json: Json = False) -> None:
    """Show the rules that hold, in their order."""
    from deployments.commands import route_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    route_actions.show(as_json=as_json)


@routes.command(name="test")
def try_out(
    # A leading hyphen, because - is one.
    file: Annotated[
        str, Parameter(help="A file with a webhook's body; - is standard input.", allow_leading_hyphen=True)
    ],
    /,
    *,
    source: Annotated[str, Parameter(help="Read it as this source's; without it that is found out.")] = "",
    environment: Annotated[str, Parameter(help="The delivery's environment; without it the installation's.")] = "",
    rules: Annotated[
        str, Parameter(name="--routes", help="A file with rules to try in place of the saved ones.")
    ] = "",
    as_json: Json = False,
) -> int:
    """Say which rule takes a webhook's body, and why. Nothing is stored.

    Exits with 1 if the body cannot be read (it would go to the default), or a rule is faulty.
    """
    from deployments.commands import route_actions  # noqa: PLC0415

    return route_actions.try_out(file, source=source, environment=environment, rules=rules, as_json=as_json)
