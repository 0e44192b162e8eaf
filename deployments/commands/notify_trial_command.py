"""`watchkeeper test-notify`: a real message through a saved channel, or a driver with flags for its config."""

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import ValidationError

from deployments.commands.check_flags import flags_of
from deployments.commands.saved_config import read_config
from deployments.errors import WrongUseError
from storage.redaction import is_reference
from tasks.errors import PermanentError, TransientError, faults_of
from tasks.notify.channels import CHANNELS, construct
from tasks.notify.channels.base import Channel
from tasks.notify.driver_keys import config_of
from tasks.secrets import resolve

if TYPE_CHECKING:
    from tasks.notify.one_off import OneOff

test_notify = App(
    name="test-notify",
    usage="Usage: watchkeeper test-notify [CHANNEL | DRIVER] [OPTIONS]",
    help_format="plaintext",  # Markdown takes a quarter of a second more
)
Title = Annotated[str | None, Parameter(help="What it is called.")]
Message = Annotated[str | None, Parameter(help="What it says.")]
Severity = Annotated[str, Parameter(help="critical, warning, info or success.")]
ConfigJson = Annotated[
    str,
    Parameter(
        name="--config",
        help="More of the config as JSON, such as keys that have no flag; - reads it from standard input.",
        allow_leading_hyphen=True,
        show_default=False,
    ),
]


@test_notify.default
def through_saved(
    *names: Annotated[str, Parameter(help="An active channel; without it the first.", allow_leading_hyphen=True)],
    title: Title = None,
    message: Message = None,
    severity: Severity = "info",
) -> None:
    """Send through a saved channel."""
    # Here, since a driver's --help needs none of it.
    from deployments.commands.sent_output import print_sent  # noqa: PLC0415
    from deployments.installed import installed_database  # noqa: PLC0415
    from storage.settings import load  # noqa: PLC0415
    from tasks.notify import one_off  # noqa: PLC0415
    from tasks.notify.selection import open_saved, select  # noqa: PLC0415

    if len(names) > 1 or any(name.startswith("-") for name in names):
        raise WrongUseError(f"name one channel, or a driver: {', '.join(CHANNELS)}")
    with installed_database(load()) as database:
        with database.read() as session:
            found = select(session, provider="".join(names))
        channel = found.channel
        wish = _wish(channel.name, title=title, message=message, severity=severity)
        message_to = one_off.compose_one_off(wish, channel=channel.name)
        sent = one_off.send(channel, open_saved(found), message_to)
    print_sent(channel.name, channel.driver, sent)


def _through_driver(
    kind: str,
    /,
    *,
    config: ConfigJson = "{}",
    title: Title = None,
    message: Message = None,
    severity: Severity = "info",
    **given: Any,
) -> None:
    """Send through a driver that no channel need be saved for. Flags win over --config."""
    from deployments.commands.sent_output import print_sent  # noqa: PLC0415
    from tasks.notify import one_off  # noqa: PLC0415

    driver = _open(kind, {**read_config(config), **_typed(given)})
    wish = _wish(kind, title=title, message=message, severity=severity)
    try:
        sent = one_off.send_plainly(driver, one_off.compose_one_off(wish))
    except PermanentError as error:
        raise PermanentError(f"{kind}: {error}") from None
    except TransientError as error:
        raise TransientError(f"{kind}: {error}") from None
    print_sent(kind, kind, sent)


def _open(kind: str, config: Mapping[str, Any]) -> Channel:
    try:
        return construct(kind, resolve(config))
    except PermanentError as error:
        raise WrongUseError(f"{kind}: {error}") from None


def _typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given. A reference stands for what must not be read in a list of processes."""
    return {name: _reference_or_text(value) for name, value in given.items() if value is not None}


def _reference_or_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_reference_or_text(each) for each in value]
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed if is_reference(parsed) else value


def _wish(name: str, *, title: str | None, message: str | None, severity: str) -> "OneOff":
    from tasks.notify import one_off  # noqa: PLC0415

    trial = one_off.trial_of(name)
    try:
        return one_off.OneOff(
            title=trial.title if title is None else title,
            message=trial.message if message is None else message,
            severity=severity,
        )
    except ValidationError as error:
        raise WrongUseError(f"--{faults_of(error)}") from None


def _register(kind: str, driver: type[Channel]) -> None:
    def command(**arguments: Any) -> None:
        _through_driver(kind, **arguments)

    common = [
        each for each in inspect.signature(_through_driver).parameters.values() if each.kind is each.KEYWORD_ONLY
    ]
    signature = inspect.Signature([*flags_of(config_of(kind)), *common])
    command.__signature__ = signature  # type: ignore[attr-defined]  # that is where inspect looks for it
    test_notify.command(command, name=kind, help=_help(kind, driver))


def _help(kind: str, driver: type[Channel]) -> str:
    documents = [inspect.cleandoc(part) for part in (driver.__doc__, config_of(kind).__doc__) if part]
    paragraphs = "\n\n".join(documents).split("\n\n")
    secrets = 'What is typed can be read in a list of processes: give a secret as \'{"env": "NAME"}\'.'
    return "\n\n".join([*(" ".join(paragraph.split()) for paragraph in paragraphs), secrets])


for _kind, _driver in CHANNELS.items():
    _register(_kind, _driver)
