"""`watchkeeper setup`: from nothing to an installation that does what is wanted.

What it does stands in actions.py beside it, so that --help imports none of what that needs.
"""

from typing import Annotated

from cyclopts import Parameter


def setup(
    *,
    preset: Annotated[
        str, Parameter(help="local-monitor, local-smart, direct, health-checked, ai-analyzed or full.")
    ] = "",
    checkers: Annotated[str, Parameter(help="Which checkers look at this host, with commas.")] = "",
    provider: Annotated[str, Parameter(help="Who analyses: local, openai, claude, …")] = "",
    provider_config: Annotated[str, Parameter(help="The provider's config as JSON.", show_default=False)] = "{}",
    channel: Annotated[
        list[str] | None,
        Parameter(
            help='Who is told, as NAME=DRIVER:JSON, such as \'ops=slack:{"webhook_url": {"env": "SLACK_URL"}}\'; '
            "may be repeated.",
            negative="",
        ),
    ] = None,
    every: Annotated[str, Parameter(help="How often this host is checked, such as 5m.")] = "",
    source: Annotated[
        list[str] | None,
        Parameter(help="A monitoring system that will post, such as grafana; may be repeated.", negative=""),
    ] = None,
    test: Annotated[bool, Parameter(help="Send a message through each new channel first.", negative="")] = False,
    write: Annotated[str, Parameter(help="Also write what was set up to this file, for `apply`.")] = "",
    file: Annotated[str, Parameter(help="Take everything from this file, as `apply` does.")] = "",
    yes: Annotated[bool, Parameter(name=["--yes", "--non-interactive"], help="Ask nothing.", negative="")] = False,
) -> int:
    """See cli.py."""
    from deployments.commands.setup import actions as setup_actions  # noqa: PLC0415  (keeps --help fast)

    given = setup_actions.Given(
        preset=preset,
        checkers=checkers,
        provider=provider,
        provider_config=provider_config,
        channels=channel or [],
        every=every,
        sources=source or [],
        test=test,
        write=write,
        is_silent=yes,
    )
    return setup_actions.set_up_by_file(file, given) if file else setup_actions.set_up(given)
