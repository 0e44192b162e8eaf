"""Zabbix: an event's macros, as our media type (webhook_app/vendor/zabbix_media_type.yaml) or another posts them.

`event_value` says whether the problem holds, `event_update_status` whether people did something about it. A
recovery names the problem's event, not its own. A body without any status is a problem: only those are posted.
Of the events that are not about triggers, services and Zabbix's own health (internal) are problems too; what was
discovered or registered itself is not, and never recovers.

Events: https://www.zabbix.com/documentation/7.0/en/manual/api/reference/event/object
"""

from collections.abc import Mapping
from typing import Any

from storage.records import ParsedAlert, ParsedPayload
from storage.vocabulary import AlertStatus, Severity
from tasks.ingest.fingerprint import bounded
from tasks.ingest.severity import normalise_severity
from tasks.ingest.sources.base import UnreadablePayloadError, first_text, object_of
from tasks.ingest.sources.zabbix_fields import fields_of, moment_of, names_one_of, tags_of
from tasks.ingest.sources.zabbix_update import changed_severity, lifecycle_of, note_of, says_update

NAME = "zabbix"
EVENT_IDS = ("eventid", "problemid", "alertuid")
IDS = (*EVENT_IDS, "triggerid")
# One of these beside an event's id, and the body is Zabbix's: no other vendor has them.
MARKS = frozenset(
    [
        *["eventvalue", "eventnseverity", "eventopdata", "eventackstatus", "eventupdatestatus"],
        *["triggerid", "triggerstatus", "triggerseverity", "triggernseverity"],
    ]
)
STATUSES = ("eventvalue", "eventstatus", "triggervalue", "triggerstatus", "status", "state")
NAMES = ("eventname", "problemname", "triggername", "name", "title", "alertsubject", "subject")
FIRING = frozenset(["1", "problem", "firing", "alerting"])
RESOLVED = frozenset(["0", "ok", "resolved", "recovery"])
NOTICES = {"1": "a discovery event", "2": "an autoregistration event"}
INTERNAL = "3"
NUMBERS = {
    **dict.fromkeys(["5", "4"], Severity.CRITICAL),
    **dict.fromkeys(["3", "2"], Severity.WARNING),
    **dict.fromkeys(["1", "0"], Severity.INFO),
}
# Number and word. The trigger's come last: they know nothing of a change by hand.
SEVERITIES = [
    ("eventupdatenseverity", "eventupdateseverity"),
    ("eventnseverity", "eventseverity"),
    ("nseverity", "severity"),
    ("", "changedseverity"),
    ("triggernseverity", "triggerseverity"),
]
LABELS = {
    # The visible name is what Zabbix shows its operators; the technical one is the agent's `Hostname`.
    "host": ("hostname", "hostname1", "host", "hosthost"),
    "hostname": ("hosthost", "hosthost1"),
    "host_ip": ("hostip", "hostip1", "hostconn"),
    "host_id": ("hostid",),
    "host_groups": ("hostgroups", "hostgroup", "hostgroupname", "triggerhostgroupname"),
    "trigger_id": ("triggerid",),
    "item_name": ("itemname", "itemname1"),
    "service_name": ("servicename",),
}
ANNOTATIONS = {
    "event_id": EVENT_IDS,
    "event_url": ("url", "eventurl", "problemurl", "linktoupstreamdetails"),
    "trigger_url": ("triggerurl",),
    "operational_data": ("eventopdata", "triggeropdata", "opdata"),
    "item_value": ("itemvalue", "itemvalue1", "itemlastvalue"),
    "message": ("alertmessage", "message"),
    "update_action": ("eventupdateaction",),
}


def detect(payload: Any) -> bool:
    """An event's id, and one more of the macros that only Zabbix has."""
    return isinstance(payload, Mapping) and names_one_of(payload, EVENT_IDS) and names_one_of(payload, MARKS)


def check(payload: Any) -> None:
    """The top level is an object that names its event or its trigger."""
    if not names_one_of(object_of(payload), IDS):
        raise UnreadablePayloadError("event_id or trigger_id is needed")


def parse(payload: Any) -> ParsedPayload:
    """The one event of a body; a notice and a test of the media type hold no alert."""
    check(payload)
    fields = fields_of(payload)
    if notice := NOTICES.get(fields.get("eventsource", "")):
        return ParsedPayload(source=NAME, alerts=[], remark=f"{notice} is no problem and has no end")
    if first_text(fields, *IDS):
        return ParsedPayload(source=NAME, alerts=[_parse_event(fields, payload)])
    if first_text(fields, *STATUSES, *NAMES):
        raise UnreadablePayloadError("event_id and trigger_id are macros that Zabbix did not fill in")
    return ParsedPayload(source=NAME, alerts=[], remark="a test: no macro of an event is filled in")


def _parse_event(fields: Mapping[str, str], payload: Mapping[str, Any]) -> ParsedAlert:
    status, is_update = _status(fields), says_update(fields)
    is_firing = status is AlertStatus.FIRING
    name = first_text(fields, *NAMES)
    severity, raw_severity = _severity(fields)
    event_id = bounded(first_text(fields, *EVENT_IDS))
    started_at, recovered_at = moment_of(fields, "event"), moment_of(fields, "eventrecovery")
    happened_at = started_at if is_firing else recovered_at
    # The message of an update or a recovery is about that alone, and must not replace the problem's.
    messages = ("alertmessage", "message") if is_firing and not is_update else ()
    return ParsedAlert(
        fingerprint=_fingerprint(fields),
        name=name or "unnamed problem",
        status=status,
        severity=severity,
        raw_severity=raw_severity,
        description=first_text(fields, "triggerdescription", "triggerdesc", *messages),
        labels=_labels(fields),
        annotations=_picked(fields, ANNOTATIONS),
        started_at=started_at,
        ended_at=None if is_firing else recovered_at,
        occurred_at=moment_of(fields, "eventupdate") if is_update else happened_at,
        lifecycle=lifecycle_of(fields) if is_update and is_firing else None,
        note=note_of(fields) if is_update else "",
        episode=event_id or None,
        vendor_id=event_id,
        is_partial=is_update and is_firing and not name,
        raw_payload=dict(payload),
    )


def _status(fields: Mapping[str, str]) -> AlertStatus:
    word = first_text(fields, *STATUSES).casefold()
    if word in RESOLVED or (not word and "eventrecoverydate" in fields):
        return AlertStatus.RESOLVED
    if word in FIRING or not word:
        return AlertStatus.FIRING
    raise UnreadablePayloadError("event_value must be 1 or 0, or event_status PROBLEM, OK or RESOLVED")


def _severity(fields: Mapping[str, str]) -> tuple[Severity | None, str]:
    """The severity, and Zabbix's word for it. An internal event has none: its trigger's is not meant."""
    known = {**fields, "changedseverity": changed_severity(fields)}
    for number_key, word_key in SEVERITIES[:-1] if fields.get("eventsource") == INTERNAL else SEVERITIES:
        number, word = known.get(number_key, ""), known.get(word_key, "")
        if number or word:
            return NUMBERS.get(number) or NUMBERS.get(word) or normalise_severity(word or number), word or number
    return None, ""


def _fingerprint(fields: Mapping[str, str]) -> str:
    """The trigger and its host: ids are small numbers, and two servers of Zabbix may post here.

    Without a trigger it is the service or the item, and else the event, which its recovery names again. An
    internal event is not its trigger's problem, and must not end it.
    """
    kind = "internal:" if fields.get("eventsource") == INTERNAL else ""
    host = first_text(fields, "hosthost", "hostname", "host", "hostid")
    if "triggerid" in fields:
        return bounded(f"{kind}{fields['triggerid']}:{host}".rstrip(":"))
    for key, word in (("serviceid", "service"), ("itemid", "item")):
        if key in fields:
            return bounded(f"{kind}{word}:{fields[key]}")
    return bounded(f"{kind}event:{first_text(fields, *EVENT_IDS)}")


def _labels(fields: Mapping[str, str]) -> dict[str, str]:
    """The tags and what we name ourselves; a tag of such a name is not what it says there."""
    ours = {*LABELS, "instance"}
    tags = {f"tag_{tag}" if tag in ours else tag: value for tag, value in tags_of(fields).items()}
    return tags | _picked(fields, LABELS)


def _picked(fields: Mapping[str, str], keys_by_name: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found = {name: first_text(fields, *keys) for name, keys in keys_by_name.items()}
    # A link that begins with a {$MACRO} nobody has set leads nowhere.
    return {name: text for name, text in found.items() if text and not text.startswith("{$")}
