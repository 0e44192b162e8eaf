"""The stable identity of an alert whose sender gives none."""

import hashlib
import json
from collections.abc import Mapping

from storage.redaction import redact_text

MAX_CHARS = 256


def fingerprint_of(name: str, labels: Mapping[str, str]) -> str:
    """sha256 of the name and the sorted labels; never of status, time or text."""
    material = json.dumps([name, sorted(labels.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(material.encode("utf-8", "surrogatepass")).hexdigest()


def bounded(fingerprint: str) -> str:
    """The sender's own fingerprint, or its sha256 where it is too long for the column or holds a secret."""
    if len(fingerprint) <= MAX_CHARS and redact_text(fingerprint) == fingerprint:
        return fingerprint
    return hashlib.sha256(fingerprint.encode("utf-8", "surrogatepass")).hexdigest()
