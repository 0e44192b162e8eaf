"""What can be wrong with a document that is to be applied."""

from collections.abc import Iterable


class DocumentError(Exception):
    """A document cannot be applied; `faults` says why, each with its place."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(dict.fromkeys(faults))
        super().__init__("; ".join(self.faults))


def place(*steps: str | int) -> str:
    """A place in a document: ("channels", "ops", "on", 0) is channels.ops.on[0]."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")
