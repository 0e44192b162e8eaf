"""The `watchkeeper` command."""

import sys
import traceback
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from deployments.errors import WRONG_USE


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415  (needed by --version alone)

    return version("watchkeeper")


app = App(
    name="watchkeeper",
    help="Watch servers and work alerts: webhooks in, health checks and analysis on the way, notifications out.",
    version=_version,
    version_flags=["--version"],
)
# By path, so that a command imports only what it needs, and --help nothing. For that their help texts stand here.
app.command(
    "deployments.commands.check_commands:check_health",
    name="check-health",
    usage="Usage: watchkeeper check-health [CHECKER...] [OPTIONS]",
    help="""Check this host's health, and say it in a table or as JSON.

    Without names the default checkers run, and those that WATCHKEEPER_CHECKERS configures.

    Exits with 0 whatever was found, unless a --fail flag stands there. Then, as monitoring plugins do: 0 ok,
    1 warning (with --fail-on-warning), 2 critical, 3 unknown or wrong use. What is skipped does not count.
    """,
)
app.command(
    "deployments.commands.run_check_command:run_check",
    name="run-check",
    help="""Run one checker, with flags for its config: `watchkeeper run-check cpu --help` lists them.

    Flags win over --config, and that over WATCHKEEPER_CHECKERS. The exit codes are those of check-health.
    """,
)
app.command(
    "deployments.commands.run_pipeline.command:run_pipeline",
    name="run-pipeline",
    help="""Run a pipeline with a sample, a file or JSON, and show how it goes.

    It is the one that --definition or --config names, else that of WATCHKEEPER_PIPELINE (full).

    A running worker takes it up; where none runs it is executed here. The embedded database is started for it
    where it does not run. --checks-only checks this host instead, as cron would: the pipeline local-monitor.
    Exits with 1 when the run failed, whatever was found, and with 2 for wrong use.
    """,
)
app.command(
    "deployments.commands.resume_command:resume",
    name="resume",
    help="""Let a run that failed, or whose process died, go on after the last stage that succeeded.

    A running worker takes it up; where none runs it is executed here. Exits with 1 when it failed again.
    """,
)
app.command(
    "deployments.commands.monitor_command:monitor_pipeline",
    name="monitor-pipeline",
    help="""List runs of pipelines, newest first, or show one; --follow goes on until Ctrl-C.

    With --run-id and --follow it ends with the run, and exits with 1 if that failed.
    """,
)
app.command(
    "deployments.commands.recommendation_command:get_recommendations",
    name="get-recommendations",
    help="""Say what is probably wrong on this host, or with --incident-id about an incident, and what to do next.

    About this host the local rules answer from what is measured now, unless --provider names another: its
    readings, with the names of processes and disks, are then sent there. The local rules need no database and no
    server, and nothing is stored. About an incident the active provider answers, and with --provider that one.

    For all but the local rules about this host the database is started where it does not run. What was said is
    stored, and an AI provider's tokens count towards the day's; where it fails, the local rules answer, and
    standard error says why. AI providers need the extra watchkeeper[ai].
    """,
)
app.command(
    "deployments.commands.provider_commands:providers",
    name="providers",
    help="""Saved AI providers, of which at most one is active. They need the extra watchkeeper[ai].

    Where none is active, the local rules answer.
    """,
)
app.command(
    "deployments.commands.eval_command:evaluate",
    name="eval",
    help="""Score a provider by recorded incidents whose answers are known; without --provider the local rules.

    Of each answer it says whether its first recommendation has the right type, whether it names the cause,
    whether it invents hosts, addresses, paths, pids or units, and whether it holds the format.

    An AI provider is asked for real, a few cases at a time and each once: that costs tokens, which are counted,
    but not towards the daily budget. Nothing is stored. The local rules need no database and no server.
    """,
)
app.command(
    "deployments.commands.setup.command:setup",
    name="setup",
    help="""Set Watchkeeper up: what it is for, what it checks, who analyses, who is told, and who posts.

    It asks, with what is there as defaults; flags answer ahead, and with --yes nothing is asked. Each channel can
    be tried. Nothing is stored until all is confirmed, and running it twice changes nothing.

    Secrets are kept in files under WATCHKEEPER_HOME/secrets, or stay in variables; never in the database.
    """,
)
app.command(
    "deployments.commands.apply_commands:apply",
    name="apply",
    help="""Make the installation as a file says: definitions, routes, channels, providers, schedules, sources.

    All of it or nothing, in one transaction; running it twice changes nothing. What the file does not name stays,
    unless --prune stands there. Secrets are given by reference; what is wrong is said with its place, all at once.
    """,
)
app.command(
    "deployments.commands.apply_commands:export",
    name="export",
    help="""Write the installation as a file that `watchkeeper apply` takes.

    References to secrets stay. A secret that is kept in clear text is not written: a variable stands for it.
    """,
)
app.command(
    "deployments.commands.channel_commands:channels",
    name="channels",
    help="""Where notifications go: save, list, try, switch on and off.

    A channel says what it is told (--min-severity, --on), how often, and which other one stands in for it.
    """,
)
app.command(
    "deployments.commands.user_commands:users",
    name="users",
    help="""Who may sign in to the console: add, list, passwords, roles, switch off, remove.

    Without any user the console answers this machine only, and asks nobody to sign in.
    """,
)
app.command(
    "deployments.commands.notify_trial_command:test_notify",
    name="test-notify",
    help="""Send a real message now: through the first active channel, or the one that is named.

    With a driver and flags for its config nothing need be saved, and no database is used:
    `watchkeeper test-notify generic --help` lists the flags. Exits with 1 and the reason if it failed.
    """,
)
app.command(
    "deployments.commands.delivery_commands:deliveries",
    name="deliveries",
    help="Accepted webhooks: list them, look at one, replay, discard.",
)
app.command(
    "deployments.commands.notification_commands:notifications",
    name="notifications",
    help="Messages to people: list them, look at one, retry, discard.",
)
app.command(
    "deployments.commands.parse_command:parse",
    name="parse",
    help="""Print what a webhook's body would become, as JSON: source, alerts and errors. Nothing is stored.

    Exits with 0 if it could be parsed, else with 1 and the reason.
    """,
)
app.command(
    "deployments.commands.definition_commands:definitions",
    name="definitions",
    help="Saved pipelines: list, show, validate, apply, export, switch on and off, delete.",
)
app.command(
    "deployments.commands.route_commands:routes",
    name="routes",
    help="Which pipeline takes which webhook, where its URL does not say. `definitions apply` changes them.",
)
app.command(
    "deployments.commands.trace_command:trace",
    name="trace",
    help="""Tell the whole way of one alert: delivery, alert, incident, runs and stages, analyses, messages.

    It is named by an alert's id (12, or alert:12) or fingerprint, by a trace, run or delivery id, or by the first
    eight or more characters of any of these. Where several fit they are listed, and the command exits with 1.
    """,
)
app.command(
    "deployments.commands.prune_command:prune",
    name="prune",
    help="""Let go now of what was kept long enough, as the worker of `up` does every hour.

    For a machine with nothing but cron. The settings WATCHKEEPER_RETAIN_… say how long what is kept.
    """,
)
app.command(
    "deployments.commands.report_command:report",
    name="report",
    help="The last 24 hours and 7 days in figures.",
)
app.command(
    "deployments.commands.doctor_command:doctor",
    name="doctor",
    help="""Say what is wrong with this installation, and what to do about it.

    Looks at settings, home folder, disks, database, receiver, inbox, workers, runs, Prefect's server with its
    deployments and schedules, clocks, channels, provider and retention. Starts nothing, and changes nothing; works
    with everything down. Exits with 1 where there is a fault; warnings do not count.
    """,
)
FAIL_FLAGS = {"--fail-on-warning", "--fail-on-critical"}
UNKNOWN = 3
INTERRUPTED = 130
# As a shell says of a program that wrote to a pipe which nobody reads any more.
UNREAD = 141


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
    from storage.settings import load  # noqa: PLC0415

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
    from rich.console import Console  # noqa: PLC0415  (checks that go well need none of it)

    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)


def main() -> None:
    """Run a command; what was foreseen to go wrong is said in one line."""
    try:
        app(exit_on_error=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # who reads no further has seen enough
        sys.exit(UNREAD)
    except CycloptsError:  # it has said why
        sys.exit(_failure(WRONG_USE))
    except Exception as error:
        from deployments.errors import explain  # noqa: PLC0415

        if (said := explain(error)) is None:
            if _failure(1) == 1:
                raise
            traceback.print_exc()
            sys.exit(UNKNOWN)
        message, code = said
        say(f"watchkeeper: {message}")
        sys.exit(_failure(code))
    finally:
        _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from deployments.commands.check_output import abandon  # noqa: PLC0415  (needed by few)

        abandon(sys.stdout)


def _failure(code: int) -> int:
    """The exit code of a failure. Where verdicts are wanted as exit codes, it must not look like one of them."""
    typed = {word.partition("=")[0] for word in sys.argv[1:]}
    return UNKNOWN if typed & FAIL_FLAGS else code


if __name__ == "__main__":
    main()
