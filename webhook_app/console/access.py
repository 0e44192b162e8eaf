"""Who looks at the console: a signed-in user, or while there are none, whoever sits at this machine."""

import secrets
from dataclasses import dataclass

from flask import Flask, g

from storage.vocabulary import Role


@dataclass(frozen=True)
class Person:
    """Who makes the present request. `local` is anybody at this machine, while no user exists."""

    name: str
    role: Role
    is_local: bool = False

    @property
    def may_act(self) -> bool:
        """Whether the person may change anything."""
        return self.role is Role.OPERATOR


def install(app: Flask) -> None:
    """Ask every request for the console who makes it."""
    app.secret_key = secrets.token_bytes(32)


def person() -> Person | None:
    """Who makes the present request; None: nobody that we know."""
    found: Person | None = g.get("console_person", Person("local", Role.OPERATOR, is_local=True))
    return found
