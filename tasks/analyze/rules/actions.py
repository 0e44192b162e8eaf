"""The commands of a recommendation: for each host, and each thing on it, that an incident names."""

from collections.abc import Iterator
from itertools import chain, zip_longest

from storage.records import AlertView
from storage.vocabulary import AlertStatus
from tasks.analyze.rules.commands import is_host, remote
from tasks.analyze.rules.facts import biggest_users
from tasks.analyze.rules.finding import Finding, Support
from tasks.analyze.rules.naming import different
from tasks.analyze.rules.reading import mount_point
from tasks.analyze.rules.scene import Scene
from tasks.analyze.topic import DISK, MAX_TEXT_CHARS, NETWORK, TEXT_ANNOTATIONS
from tasks.hosts import host_names

MAX_THINGS = 3
MAX_HOSTS = 3
MAX_PIDS = 3
MAX_ACTIONS = 10


def actions_for(scene: Scene, finding: Finding) -> list[str]:
    """What to type, the most telling first; for several hosts by turns, so that none is left for later."""
    hosts = _hosts(scene)
    if len(hosts) > 1:
        by_host = [_on_one_of_several(scene, finding, host) for host in hosts]
        actions = [each for turn in zip_longest(*by_host) for each in turn if each]
    else:
        actions = _on_the_host(scene, finding, next(iter(hosts), ""))
    pids = ",".join(str(process["pid"]) for process in biggest_users(scene, finding.topic)[:MAX_PIDS])
    about_them = [f"ps -o pid,user,rss,time,etime,args -p {pids}  # the largest when checked"] if pids else []
    return [*list(dict.fromkeys(actions))[: MAX_ACTIONS - len(about_them)], *about_them]


def _hosts(scene: Scene) -> list[str]:
    """Those that a command can name; the first is one that has not been looked at."""
    hosts = [*scene.unread_hosts, *scene.affected_hosts] if scene.incident else [scene.own_host]
    return [host for host in dict.fromkeys(hosts) if is_host(host)][:MAX_HOSTS]


def _on_the_host(scene: Scene, finding: Finding, host: str) -> list[str]:
    outside, inside = _looks(scene, finding, host, things=_things(scene, finding, host=""))
    is_elsewhere = not scene.is_own and host and finding.topic is not NETWORK
    log_in = [f"ssh {host}  # Watchkeeper has not looked there"] if is_elsewhere and inside else []
    return [*outside, *log_in, *inside]


def _on_one_of_several(scene: Scene, finding: Finding, host: str) -> list[str]:
    outside, inside = _looks(scene, finding, host, things=_things(scene, finding, host=host))
    if finding.topic is NETWORK:
        return [*outside, *inside]
    return [*outside, *(remote(host, each) for each in inside)]


def _looks(scene: Scene, finding: Finding, host: str, *, things: list[str]) -> tuple[list[str], list[str]]:
    """The commands that can be typed anywhere, and those that must be on the host."""
    subject = finding.subject
    if finding.topic is DISK:
        things = things or [mount_point(scene) or "/"]
    outside: list[str] = []
    inside: list[str] = []
    for thing in things:
        (outside if subject.is_outside and not thing.startswith("/") else inside).extend(subject.look_at(thing))
    inside += [each.replace("{host}", host) for each in subject.look if host or "{host}" not in each]
    return outside, inside


def _things(scene: Scene, finding: Finding, *, host: str) -> list[str]:
    """What alerts name, of one host's only where it is given, and what the reading found to be bad."""
    named = chain.from_iterable(_named_by(alert, finding) for alert in _live(scene) if _is_on(alert, host))
    found = finding.subject.targets(finding.check) if finding.check else []
    # A reading's own things are known to be bad, but an alert may be about one that is not read.
    is_known = finding.support is Support.CONFIRMED and found
    return different(chain(finding.things, found if is_known else chain(named, found)))[:MAX_THINGS]


def _named_by(alert: AlertView, finding: Finding) -> list[str]:
    texts = [alert.name, alert.description, *(alert.annotations.get(key, "") for key in TEXT_ANNOTATIONS)]
    return finding.subject.names(alert.labels, "\n".join(texts)[:MAX_TEXT_CHARS])


def _live(scene: Scene) -> Iterator[AlertView]:
    alerts = scene.incident.alerts if scene.incident else []
    firing = [alert for alert in alerts if alert.status is AlertStatus.FIRING]
    return iter(firing or alerts)


def _is_on(alert: AlertView, host: str) -> bool:
    return not host or host in host_names(alert.labels)
