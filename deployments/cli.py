"""The `watchkeeper` command."""

import sys
from importlib.metadata import version
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from deployments.channel_commands import channels
from deployments.delivery_commands import deliveries
from deployments.parse_command import parse
from storage.settings import load

app = App(
    name="watchkeeper",
    help="Watch servers and work alerts: webhooks in, health checks and analysis on the way, notifications out.",
    version=version("watchkeeper"),
    version_flags=["--version"],
)
app.command(channels)
app.command(deliveries)
app.command(parse)


@app.command
def up(
    *,
    host: Annotated[
        str | None, Parameter(help="Address to listen on (127.0.0.1); a public one needs a webhook secret.")
    ] = None,
    port: Annotated[int | None, Parameter(help="Port of the receiver (8420).")] = None,
    server: Annotated[bool, Parameter(help="Start a Prefect server, unless PREFECT_API_URL names one.")] = True,
    web: Annotated[bool, Parameter(help="Start the receiver.")] = True,
    worker: Annotated[bool, Parameter(help="Start the warm worker with the relay.")] = True,
    monitor: Annotated[bool | None, Parameter(help="Run the local-monitor schedule.", negative="")] = None,
) -> None:
    """Run everything on this machine until Ctrl-C or SIGTERM, restarting what dies.

    Data lies under WATCHKEEPER_HOME (~/.local/share/watchkeeper, as root /var/lib/watchkeeper). The database is
    an embedded PostgreSQL, unless WATCHKEEPER_DATABASE_URL names another (sqlite:///… is the light mode).
    """
    from deployments.stack import Choice  # noqa: PLC0415  (keeps the other commands and --help fast)
    from deployments.up import run  # noqa: PLC0415

    given = {"host": host, "port": port, "monitor": monitor}
    settings = load().model_copy(update={key: value for key, value in given.items() if value is not None})
    run(settings, Choice(server=server, web=web, worker=worker), say)


@app.command
def demo(
    *,
    keep: Annotated[bool, Parameter(help="Stay up after the demo until Ctrl-C.")] = True,
) -> None:
    """Send one real Alertmanager webhook through the `full` pipeline and show its trace.

    Everything is started in a folder of its own that is removed at the end; an installation is not touched.
    """
    from deployments.demo import run  # noqa: PLC0415

    run(say, keep=keep)


def say(line: str) -> None:
    """A line of progress, on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)


def main() -> None:
    """Run a command; what was foreseen to go wrong is said in one line."""
    try:
        app()
    except Exception as error:
        from deployments.errors import explain  # noqa: PLC0415  (needed by no command that goes well)

        if (said := explain(error)) is None:
            raise
        message, code = said
        say(f"watchkeeper: {message}")
        sys.exit(code)


if __name__ == "__main__":
    main()
