"""`watchkeeper channels`: the destinations of notifications.

What the commands do stands in channel_actions.py, so that --help imports none of what they need.
"""

from typing import Annotated

from cyclopts import App, Parameter

channels = App(name="channels", help_format="plaintext")  # Markdown takes a quarter of a second more

Config = Annotated[
    str,
    Parameter(
        help="The driver's config as JSON; - reads it from standard input. `watchkeeper channels keys DRIVER` "
        'lists its keys. Give secrets as references: {"env": "NAME"}, {"file": "PATH"} or {"prefect": "BLOCK"}.',
        allow_leading_hyphen=True,
        show_default=False,
    ),
]
MinSeverity = Annotated[str | None, Parameter(help="Told only from this severity on: info, warning, critical.")]
On = Annotated[
    str | None,
    Parameter(help="Told of these, with commas: firing, resolved, acknowledged, escalated (all).", negative=""),
]
Repeat = Annotated[
    str | None, Parameter(help="How long until it is told again of what still fires: 30m, 4h (4h); 0 is never.")
]
Update = Annotated[
    str | None, Parameter(help="How long until it is told of alerts that joined: 5m (5m); 0 is never.")
]
Rate = Annotated[
    str | None,
    Parameter(
        name="--rate-per-minute", help="Most messages a minute; 0 is no limit, default is the driver's own."
    ),
]
Fallback = Annotated[str | None, Parameter(help='The channel that is told what this one cannot be; "" is none.')]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, as the API answers it.", negative="")]


@channels.command
def add(
    name: str,
    /,
    *,
    driver: Annotated[str, Parameter(help="Its kind: `watchkeeper channels keys` lists them.")],
    config: Config = "{}",
    description: str = "",
    min_severity: MinSeverity = None,
    on: On = None,
    repeat_interval: Repeat = None,
    update_interval: Update = None,
    rate_per_minute: Rate = None,
    fallback: Fallback = None,
    inactive: Annotated[bool, Parameter(help="Let no messages go to it yet.", negative="")] = False,
) -> None:
    """Save a channel. Secrets must be readable here, as they must be where Watchkeeper runs; nothing is sent."""
    from deployments.commands import channel_actions  # noqa: PLC0415  (keeps --help fast, here and below)

    policy = channel_actions.read_policy(
        min_severity=min_severity,
        on=on,
        repeat_interval=repeat_interval,
        update_interval=update_interval,
        rate_per_minute=rate_per_minute,
        fallback=fallback,
    )
    channel_actions.add(
        name, driver=driver, config=config, description=description, policy=policy, is_active=not inactive
    )


@channels.command(name="list")
def list_all(*, as_json: Json = False) -> None:
    """List the channels and how they fare."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.list_all(as_json=as_json)


@channels.command
def show(name: str, /, *, as_json: Json = False) -> None:
    """Show one channel whole, without its secrets."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.show(name, as_json=as_json)


@channels.command
def edit(
    name: str,
    /,
    *,
    config: Config | None = None,
    description: str | None = None,
    min_severity: MinSeverity = None,
    on: On = None,
    repeat_interval: Repeat = None,
    update_interval: Update = None,
    rate_per_minute: Rate = None,
    fallback: Fallback = None,
) -> None:
    """Replace a channel's config as a whole, its description, or single points of what it is told."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    policy = channel_actions.read_policy(
        min_severity=min_severity,
        on=on,
        repeat_interval=repeat_interval,
        update_interval=update_interval,
        rate_per_minute=rate_per_minute,
        fallback=fallback,
    )
    channel_actions.edit(name, config=config, description=description, policy=policy)


@channels.command
def enable(name: str, /) -> None:
    """Let messages go to a channel. Its config must be usable."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.enable(name)


@channels.command
def disable(name: str, /) -> None:
    """Let no messages go to a channel; what waits for it stays."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.disable(name)


@channels.command
def remove(name: str, /) -> None:
    """Forget a channel. Its messages stay."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.remove(name)


@channels.command
def keys(driver: str = "", /) -> None:
    """List the keys of a driver's config with what holds where they are left out; without a name, the drivers."""
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.keys(driver)


@channels.command
def test(name: str, /) -> None:
    """Send a real message through a channel, active or not, and say what came of it. Exits with 1 if it failed.

    It tries a channel that rests after failures too; if that goes well, the channel rests no longer.
    """
    from deployments.commands import channel_actions  # noqa: PLC0415

    channel_actions.test(name)
