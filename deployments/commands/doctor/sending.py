"""A real message through every active channel, for `watchkeeper doctor --send`."""

from deployments.commands.doctor.database import open_running
from deployments.commands.doctor.finding import Finding, fault, ok, unknown
from storage import channels
from storage.records import ChannelConfig
from storage.redaction import redact_text
from storage.settings import Settings
from tasks.check.calls import HungError, side_by_side
from tasks.errors import PermanentError, TransientError
from tasks.notify import one_off
from tasks.notify.channels import build

SEND_SECONDS = 30.0


def send_to_all(current: Settings) -> list[Finding]:
    """What came of each, side by side."""
    database, missing = open_running(current)
    if database is None:
        return [unknown(f"not sent: {missing.message if missing else 'the database does not answer'}")]
    try:
        with database.read() as session:
            active = channels.active_channels(session)
    finally:
        database.dispose()
    sends = {each.name: (lambda channel=each: _send(channel)) for each in active}
    outcomes = side_by_side(sends, timeout_seconds=SEND_SECONDS)
    return [
        fault(f"{name}: {_told(outcome)}", "see `channels`") if isinstance(outcome, BaseException) else outcome
        for name, outcome in outcomes.items()
    ]


def _send(channel: ChannelConfig) -> Finding:
    message = one_off.compose_one_off(one_off.trial_of(channel.name), channel=channel.name)
    try:
        sent = one_off.send_plainly(build(channel), message)
    except (PermanentError, TransientError) as error:
        return fault(f"{channel.name}: {redact_text(str(error))}", f"`watchkeeper channels show {channel.name}`")
    return ok(f"{channel.name}: has the message, after {sent.duration_seconds:.1f} s")


def _told(outcome: BaseException) -> str:
    return f"no answer within {SEND_SECONDS:g} s" if isinstance(outcome, HungError) else type(outcome).__name__
