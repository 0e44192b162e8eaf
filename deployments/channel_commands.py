"""`watchkeeper channels`: the destinations of notifications."""

import json
import sys
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from deployments.installed import installed_database
from storage import channels as channel_rows
from storage.records import ChannelConfig
from storage.redaction import redact
from storage.settings import load
from tasks.errors import PermanentError

channels = App(name="channels")


@channels.command
def add(
    name: str,
    *,
    driver: Annotated[str, Parameter(help="email or generic.")],
    config: Annotated[str, Parameter(help="The driver's config as JSON; - reads it from standard input.")],
    description: str = "",
) -> None:
    """Add an active channel.

    Secrets are best given as references: {"env": "NAME"} or {"file": "PATH"} in place of a value.
    """
    from tasks.notify.channels import build  # noqa: PLC0415  (keeps --help fast)

    wanted = read_config(config)
    build(ChannelConfig(id=0, name=name, driver=driver, config=wanted))
    with installed_database(load()) as database, database.write() as session:
        channel_rows.add_channel(session, name=name, driver=driver, config=wanted, description=description)
    Console().print(f"added channel {name}", markup=False)


@channels.command(name="list")
def list_all() -> None:
    """List all channels, without their secrets."""
    with installed_database(load()) as database, database.read() as session:
        rows = channel_rows.list_channels(session)
    table = Table("name", "driver", "active", "config", "description")
    for row in rows:
        shown = json.dumps(redact(row.config))
        table.add_row(row.name, row.driver, "yes" if row.is_active else "no", shown, row.description)
    Console().print(table)


@channels.command
def enable(name: str) -> None:
    """Let messages go to a channel."""
    _set_active(name, is_active=True)


@channels.command
def disable(name: str) -> None:
    """Let no messages go to a channel."""
    _set_active(name, is_active=False)


def read_config(text: str) -> dict[str, Any]:
    """A --config as it was typed, or from standard input for -. Raises PermanentError where it is no object."""
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise PermanentError(f"--config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PermanentError("--config must be a JSON object")
    return value


def _set_active(name: str, *, is_active: bool) -> None:
    with installed_database(load()) as database, database.write() as session:
        if not channel_rows.set_active(session, name, is_active=is_active):
            raise PermanentError(f"there is no channel {name!r}")
    Console().print(f"channel {name} is {'active' if is_active else 'not active'}", markup=False)
