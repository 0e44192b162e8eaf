"""Channels that are to get no more messages: that they fail is then nobody's concern any more."""

from sqlalchemy.orm import Session

from storage import channels
from tasks.notify import channel_alert


def switch_off(session: Session, name: str) -> None:
    """Let no messages go to a channel, until it is switched on. Comes first in its transaction."""
    channel_alert.withdraw(session, name)
    channels.set_active(session, name, is_active=False)


def remove(session: Session, name: str) -> None:
    """Forget a channel, and how it fared; its messages stay. Comes first in its transaction."""
    channel_alert.withdraw(session, name)
    channels.remove_channel(session, name)
