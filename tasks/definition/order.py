"""What is wrong with how nodes follow each other, looked at whatever else is wrong with them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A node's id and what it names as next."""

    id: str
    next: str | None


def faults_of_order(links: Sequence[Link]) -> Iterator[str]:
    """Ids used twice, a next that leads nowhere, circles, and nodes that are never reached."""
    ids = [link.id for link in links]
    yield from (f"node {node_id}: the id is used twice" for node_id, count in Counter(ids).items() if count > 1)
    for link in links:
        if link.next is not None and link.next not in ids:
            yield f"node {link.id}: next names {link.next!r}, which is no node"
    named_by: dict[str, list[str]] = {}
    for link in links:
        if link.next in ids:
            named_by.setdefault(str(link.next), []).append(link.id)
    for node_id, names in named_by.items():
        if len(set(names)) > 1:
            yield f"node {node_id}: the nodes {' and '.join(names)} both name it as next; a node follows one other"
    circles = list(_circles(links))
    yield from (f"nodes {' -> '.join([*circle, circle[0]])}: they form a circle" for circle in circles)
    reached, in_circles = path_of(links), {node_id for circle in circles for node_id in circle}
    for node_id in dict.fromkeys(ids):
        if reached and node_id not in reached and node_id not in in_circles:
            yield f"node {node_id}: it is never reached: the pipeline begins with {reached[0]}"


def path_of(links: Sequence[Link]) -> list[str]:
    """The ids in the order of the run, as far as it can be told: from the first that no other names."""
    following = {link.id: link.next for link in reversed(links)}
    named = {link.next for link in links if link.next != link.id}
    node_id = next((link.id for link in links if link.id not in named and link.next != link.id), None)
    path: list[str] = []
    while node_id is not None and node_id in following and node_id not in path:
        path.append(node_id)
        node_id = following[node_id]
    return path


def _circles(links: Sequence[Link]) -> Iterator[list[str]]:
    """Each circle once, from the node of it that comes first in the list."""
    following = {link.id: link.next for link in reversed(links)}
    done: set[str] = set()
    for link in links:
        walked: list[str] = []
        node_id: str | None = link.id
        while node_id in following and node_id not in done and node_id not in walked:
            walked.append(str(node_id))
            node_id = following[str(node_id)]
        if node_id in walked:
            yield walked[walked.index(str(node_id)) :]
        done.update(walked)
