"""`watchkeeper users`: who may sign in to the console.

What the commands do stands in user_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter

users = App(name="users", help_format="plaintext")  # Markdown takes a quarter of a second more

Role = Annotated[
    str,
    Parameter(help="viewer (looks) or operator (acts as well). The first user is an operator, else viewer."),
]
PasswordFile = Annotated[
    str,
    Parameter(
        help="A file whose first line is the password; - is standard input. Without it the password is asked for, "
        "or read from standard input where that is no terminal.",
        allow_leading_hyphen=True,
    ),
]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative="")]


@users.command
def add(name: str, /, *, role: Role = "", password_file: PasswordFile = "") -> None:
    """Let somebody sign in. From the first user on everybody has to, also on this machine."""
    from deployments.commands import user_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    user_actions.add(name, role=role, password_file=password_file)


@users.command(name="list")
def list_all(*, as_json: Json = False) -> None:
    """List the users."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.list_all(as_json=as_json)


@users.command
def password(name: str, /, *, password_file: PasswordFile = "") -> None:
    """Give a user another password. Wherever they are signed in, they no longer are."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.set_password(name, password_file=password_file)


@users.command
def role(name: str, role: str, /) -> None:
    """Make a user a viewer or an operator. They have to sign in again."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.set_role(name, role)


@users.command
def enable(name: str, /) -> None:
    """Let a user sign in again."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.set_active(name, is_active=True)


@users.command
def disable(name: str, /) -> None:
    """Sign a user out and let them sign in no more. What they did stays under their name."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.set_active(name, is_active=False)


@users.command
def remove(
    name: str,
    /,
    *,
    yes: Annotated[bool, Parameter(help="Also if it is the last user.", negative="")] = False,
) -> None:
    """Forget a user. What they did stays in the audit."""
    from deployments.commands import user_actions  # noqa: PLC0415

    user_actions.remove(name, is_sure=yes)
