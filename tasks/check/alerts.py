"""From check results to alerts (the seeds' CheckAlertBridge), by what is believed after them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from storage.alerts import firing_alerts, known_alerts
from storage.checks import Target, forget_states, lock_states
from storage.records import CheckResult, ParsedAlert, Reading
from storage.tables import Alert, CheckState
from storage.tables.base import utc_now
from storage.vocabulary import AlertStatus, CheckStatus, Severity
from tasks.check.checkers.base import state
from tasks.check.hysteresis import Belief, settle
from tasks.ingest.fingerprint import bounded

SOURCE = "checker"
SEVERITY = {
    CheckStatus.WARNING: Severity.WARNING,
    CheckStatus.CRITICAL: Severity.CRITICAL,
    # That a thing cannot be measured is told as a warning.
    CheckStatus.UNKNOWN: Severity.WARNING,
}
# What says which thing of which host an alert is about, so that no operator's label may say otherwise.
RESERVED_LABELS = frozenset({"host", "hostname", "instance", "checker", "target"})
# A host where a hundred units fail at once must not send a hundred messages; the next check tells of the rest.
MAX_NEW_ALERTS = 20
MAX_NAME_CHARS = 256
DIGEST_CHARS = 8
# The target by which a checker says that it cannot list things of a kind, and how the names of those begin.
KINDS: Mapping[Target, str] = {
    ("raid", "mdstat"): "md",
    ("raid", "zpool"): "zpool ",
    ("raid", "btrfs"): "btrfs ",
}
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Host:
    """Whose checks these are: its name, labels to put on its alerts, and the checkers' `for`, by name.

    `lately_checked` are the checkers that ran on it within a day, where the results are of all that are
    configured: what another one fired is over. None says nothing of others.
    """

    hostname: str
    labels: Mapping[str, str]
    confirmations: Mapping[str, int]
    lately_checked: AbstractSet[str] | None = None


def alerts_of(session: Session, results: Sequence[CheckResult], host: Host) -> dict[Target, ParsedAlert]:
    """The alerts that results give rise to, by checker name and target, the worst first for each checker.

    What is believed to be bad fires, and what is over resolves the alert that fires. What a checker no longer
    finds is over too. A checker that could not measure says nothing of the things that it found before.
    """
    readings = {
        (result.checker_name, bounded(reading.target)): reading
        for result in results
        for reading in _readings(result)
    }
    states = lock_states(session, hostname=host.hostname, targets=readings)
    firing = _firing(session, host)
    beliefs = _settled(readings, states, firing, host)
    told = _told(readings, beliefs, firing, host)
    known = {_fingerprint(target, host) for target in readings}
    by_checker = {result.checker_name: result for result in results}
    ended = _ended([alert for alert in firing.values() if alert.fingerprint not in known], by_checker, host)
    _write(states, beliefs)
    unseen = [row for target, row in states.items() if target not in readings]
    over = [row for row in unseen if _end(row.checker_name, row.target, row.status, by_checker, host)]
    forget_states(session, over)
    return _in_order(session, _without_flood(told | ended, firing))


def _readings(result: CheckResult) -> list[Reading]:
    """A checker that could not measure at all is a reading by itself."""
    if result.status is CheckStatus.UNKNOWN and not result.readings:
        return [state(CheckStatus.UNKNOWN, result.message)]
    return result.readings


def _firing(session: Session, host: Host) -> dict[str, Alert]:
    alerts = firing_alerts(session, source=SOURCE)
    return {alert.fingerprint: alert for alert in alerts if alert.labels.get("host") == host.hostname}


def _settled(
    readings: Mapping[Target, Reading],
    states: Mapping[Target, CheckState],
    firing: Mapping[str, Alert],
    host: Host,
) -> dict[Target, Belief]:
    beliefs = {}
    for target, reading in readings.items():
        before = _belief(states[target], firing.get(_fingerprint(target, host)))
        beliefs[target] = settle(before, reading, confirmations=host.confirmations.get(target[0], 1))
    return beliefs


def _belief(row: CheckState, alert: Alert | None) -> Belief:
    """What was believed before. What fires was, even where its row was lost."""
    status = row.status
    if alert and status is CheckStatus.OK and alert.raw_severity in SEVERITY:
        status = CheckStatus(alert.raw_severity)
    return Belief(status, row.bad_in_a_row, row.critical_in_a_row, row.unknown_in_a_row)


def _told(
    readings: Mapping[Target, Reading], beliefs: Mapping[Target, Belief], firing: Iterable[str], host: Host
) -> dict[Target, ParsedAlert]:
    alerts = {}
    for target, reading in readings.items():
        belief = beliefs[target]
        is_silent = reading.status is CheckStatus.UNKNOWN and belief.status is not CheckStatus.UNKNOWN
        is_news = belief.status in SEVERITY or (belief.is_over and _fingerprint(target, host) in firing)
        if is_news and not is_silent:
            alerts[target] = _alert(target, reading, belief, host)
    return alerts


def _ended(alerts: Iterable[Alert], results: Mapping[str, CheckResult], host: Host) -> dict[Target, ParsedAlert]:
    """The ends of those that fire and are over, as they were stored: what is believed of them may be lost."""
    ended = {}
    for alert in alerts:
        target = alert.labels.get("checker", ""), alert.labels.get("target", "")
        if reason := _end(*target, alert.raw_severity, results, host):
            ended[target] = ParsedAlert(
                fingerprint=alert.fingerprint,
                name=alert.name,
                status=AlertStatus.RESOLVED,
                started_at=None,
                raw_severity=CheckStatus.OK,
                description=reason,
                labels=alert.labels,
            )
    return ended


def _end(checker_name: str, thing: str, held: str, results: Mapping[str, CheckResult], host: Host) -> str:
    """Why what has no reading is over, in words; empty where it may not be."""
    if checker_name not in results:
        is_dropped = host.lately_checked is not None and checker_name not in host.lately_checked
        return "the check is no longer configured" if is_dropped else ""
    return "the check no longer finds it" if _is_gone(thing, held, results[checker_name]) else ""


def _is_gone(thing: str, held: str, result: CheckResult) -> bool:
    """Whether a thing without a reading is not there, rather than not seen. What may still be bad is not gone.

    A checker lists the things and then measures each. One with an UNKNOWN reading was listed, so that it says
    nothing of others: a path that nobody can read must not keep an unmounted one firing. What was not listed has
    an UNKNOWN reading of its own, without a target (all of them) or with that of a kind (those of that kind).
    That a thing could not be measured (`held`) is over as soon as the checker has readings that do not say so.
    """
    unknown = {reading.target for reading in _readings(result) if reading.status is CheckStatus.UNKNOWN}
    unlisted = [KINDS[result.checker_name, kind] for kind in unknown if (result.checker_name, kind) in KINDS]
    if thing.startswith(tuple(unlisted)):
        return False
    if result.readings and held == CheckStatus.UNKNOWN:
        return True
    return "" not in unknown


def _write(states: Mapping[Target, CheckState], beliefs: Mapping[Target, Belief]) -> None:
    for target, belief in beliefs.items():
        row = states[target]
        row.status, row.unknown_in_a_row = belief.status, belief.unknown_in_a_row
        row.bad_in_a_row, row.critical_in_a_row = belief.bad_in_a_row, belief.critical_in_a_row


def _alert(target: Target, reading: Reading, belief: Belief, host: Host) -> ParsedAlert:
    checker_name, _ = target
    thing = _readable(reading.target)
    labels = {name: text for name, text in host.labels.items() if name not in RESERVED_LABELS}
    own = {"host": host.hostname, "checker": checker_name} | ({"target": thing} if thing else {})
    return ParsedAlert(
        fingerprint=_fingerprint(target, host),
        name=f"{checker_name} {thing or 'check'}",
        status=AlertStatus.FIRING if belief.status in SEVERITY else AlertStatus.RESOLVED,
        started_at=None,
        severity=SEVERITY.get(belief.status),
        raw_severity=belief.status,
        description=reading.message,
        labels=labels | own,
        raw_payload={"value": reading.value},
    )


def _readable(thing: str) -> str:
    """The thing's name; of a long one both ends, and a digest, since two of one name would share an incident."""
    if len(thing) <= MAX_NAME_CHARS:
        return thing
    digest = hashlib.sha256(thing.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARS]
    half = (MAX_NAME_CHARS - DIGEST_CHARS) // 2 - 2
    return f"{thing[:half]}…{thing[-half:]} #{digest}"


def _fingerprint(target: Target, host: Host) -> str:
    return bounded(":".join(part for part in (host.hostname, *target) if part))


def _without_flood(alerts: Mapping[Target, ParsedAlert], firing: Iterable[str]) -> dict[Target, ParsedAlert]:
    kept: dict[Target, ParsedAlert] = {}
    new: dict[str, int] = {}
    for target, alert in sorted(
        alerts.items(), key=lambda item: -item[1].severity.rank if item[1].severity else 0
    ):
        if alert.status is AlertStatus.FIRING and alert.fingerprint not in firing:
            new[target[0]] = new.get(target[0], 0) + 1
            if new[target[0]] > MAX_NEW_ALERTS:
                continue
        kept[target] = alert
    return kept


def _in_order(session: Session, alerts: Mapping[Target, ParsedAlert]) -> dict[Target, ParsedAlert]:
    """The alerts, each later than what is known of it: a host's runs are in order by their lock.

    The clock may be behind what it said before, and news must not be stale until it has caught up.
    """
    now = utc_now()
    known = known_alerts(session, source=SOURCE, fingerprints=(alert.fingerprint for alert in alerts.values()))
    return {
        target: alert.model_copy(update={"occurred_at": max(now, _known_until(known.get(alert.fingerprint), now))})
        for target, alert in alerts.items()
    }


def _known_until(alert: Alert | None, now: datetime) -> datetime:
    if alert is None:
        return now
    times = (alert.started_at, alert.ended_at, alert.occurred_at, alert.last_received_at)
    return max(time for time in times if time) + MOMENT
