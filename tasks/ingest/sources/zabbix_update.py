"""What people did about a problem of Zabbix, as an update of it says.

The action reads like "acknowledged, commented and changed severity from High to Disaster"; also unacknowledged,
closed, suppressed until a time or indefinitely, unsuppressed, ranked as symptom, ranked as cause.

Updates: https://www.zabbix.com/documentation/7.0/en/manual/acknowledgment
"""

import re
from collections.abc import Mapping

from storage.vocabulary import Lifecycle
from tasks.ingest.sources.base import first_text

ACTION = "eventupdateaction"
CHANGED_SEVERITY = re.compile(r"changed severity from .+? to (.+?)(?:,| and |$)")


def says_update(fields: Mapping[str, str]) -> bool:
    """Whether the message is about an update, not about the problem itself or its end."""
    status = first_text(fields, "eventupdatestatus", "eventupdate")
    return status == "1" or (not status and ACTION in fields)


def lifecycle_of(fields: Mapping[str, str]) -> Lifecycle:
    """One update may do several things: the acknowledgement counts most, a comment least."""
    action = fields.get(ACTION, "").casefold()
    is_acknowledged = first_text(fields, "eventackstatus", "eventack").casefold() in {"yes", "1", "true"}
    if re.search(r"\backnowledged\b", action) or (is_acknowledged and not action):
        return Lifecycle.ACKNOWLEDGED
    if "unacknowledged" in action:
        return Lifecycle.UNACKNOWLEDGED
    others = re.sub(r"commented|\band\b|[\s,]", "", action)
    return Lifecycle.NOTE if not others and (action or note_of(fields)) else Lifecycle.UPDATED


def note_of(fields: Mapping[str, str]) -> str:
    """The words of a comment, with their author where the body names one."""
    message = first_text(fields, "eventupdatemessage", "ackmessage")
    author = first_text(fields, "userfullname", "username", "user")
    return f"{author}: {message}" if author and message else message


def changed_severity(fields: Mapping[str, str]) -> str:
    """The new word for the severity, where the action names one."""
    changed = CHANGED_SEVERITY.search(fields.get(ACTION, ""))
    return changed[1] if changed else ""
