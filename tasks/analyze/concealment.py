"""What must not leave this machine with a question: secrets, personal data, and on wish the names of hosts.

Gone for good are secrets (storage/redaction.py), e-mail addresses, telephone numbers in international form, and
numbers of cards and bank accounts whose check digits are right. Replaced by placeholders, and put back into the
answer, are people's names in paths of their homes and, with `hides_hosts`, IP and MAC addresses, the hosts that
labels and evidence name, and whatever is spelled as a domain name. `db-03.lan` becomes `host-1.domain-1` and
`db-03` becomes `host-1`: the model sees that they belong together, and each spelling can be put back as it was.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.redaction import MASK, redact, redact_text
from tasks.hosts import host_names

# Under names that end so stand hosts: labels (tasks/hosts.py), evidence, what other senders call them, and what
# the question itself says of hosts (tasks/analyze/facts.py). Only letters and digits of a name count.
HOST_NAMES_END = ("host", "hosts", "hostname", "instance", "fqdn", "node", "nodename")
# They say nothing, or would be found in every question.
NO_NAMES = frozenset({"localhost", *HOST_NAMES_END})
# What a name that is spelled with dots must end in to be a host's. Two letters are a country, unless files end so.
SUFFIXES = (
    "com net org info biz dev app cloud online site shop tech store edu gov mil int arpa aero"
    " lan local localdomain internal intranet intra corp home private svc example test invalid onion"
)
NO_COUNTRIES = "cc cs db go gz hs js md mk ml pl pm ps py rb rs sh so ts vi"

_PLACEHOLDER = re.compile(r"(?i)(?<![a-z0-9])(?:host|domain|ip|mac|user)-\d{1,9}(?![a-z0-9])")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}(?P<end>[A-Za-z]{2,24})(?![\w-])")
# Units of systemd look like mail: getty@tty1.service.
_UNITS = frozenset(
    ("automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer")
)
_PHONE = re.compile(r"(?<![\w.+])\+[1-9]\d{0,2}(?:[ .-]{1,2}\(?\d{2,5}\)?){2,4}(?![\w.:-])")
_CARD = re.compile(
    r"(?<![\w.-])(?:[3-6]\d{3}(?:[ -]\d{4}){3}|[3-6]\d{14,15}|3[47]\d{2}[ -]\d{6}[ -]\d{5})(?![\w.-])"
)
_IBAN = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])")
_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
# By what they are; the first that fits at a place counts.
_USER = r"""(?:(?<=/home/)|(?<=/Users/)|(?<=\\Users\\))[^/\\\s"'<>:;,|*]{1,64}"""
_MAC = r"(?<![\w:-])[0-9A-Fa-f]{2}(?P<between>[:-])(?:[0-9A-Fa-f]{2}(?P=between)){4}[0-9A-Fa-f]{2}(?![\w:-])"
_IPV6 = rf"(?:::(?:[0-9A-Fa-f]{{1,4}}:){{0,5}}{_IPV4}|(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}[0-9A-Fa-f]{{0,4}})"
_IP = rf"(?:(?<![\w.:]){_IPV6}(?![\w:]|\.\d)|(?<![\w.]){_IPV4}(?!\w|\.\d))"
_DOTTED = (
    rf"(?i:(?<![\w.-])(?:[a-z0-9_][a-z0-9_-]{{0,62}}\.){{1,8}}(?:{'|'.join(SUFFIXES.split())}"
    rf"|(?!(?:{'|'.join(NO_COUNTRIES.split())})(?![\w-]))[a-z]{{2}})(?![\w-]|\.\w))"
)
_FINDERS = {
    kind: re.compile(pattern) for kind, pattern in {"user": _USER, "mac": _MAC, "ip": _IP, "host": _DOTTED}.items()
}
_HOST = re.compile(r"(?=[\w.-]*[A-Za-z])[A-Za-z0-9][\w-]{1,62}(?:\.[\w-]{1,63}){0,8}")


@dataclass
class Concealment:
    """Hides what a question must not tell, and puts placeholders back into the answer.

    The same thing has the same placeholder throughout, whatever the order of keys. Which they are is decided by
    everything that one call of `conceal` is given, so the whole question belongs into one.
    """

    hides_hosts: bool = False
    names_by_placeholder: dict[str, str] = field(default_factory=dict)
    _placeholders: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    # The hosts that something names as such: they are recognised wherever they stand, without a domain too.
    _hosts: set[str] = field(default_factory=set, repr=False)

    def conceal(self, value: Any) -> Any:
        """A copy of a JSON value that may leave."""
        clean = _mapped(redact(value), _without_people)
        self._learn(clean)
        names = self._names()
        return _mapped(clean, lambda text: names.sub(self._placeholder_of, text))

    def reveal(self, text: str) -> str:
        """A text of the answer with the names in place of their placeholders; unknown ones stay."""
        named = _PLACEHOLDER.sub(lambda found: self.names_by_placeholder.get(found[0].lower(), found[0]), text)
        return redact_text(named)

    def _learn(self, value: Any) -> None:
        """Give a placeholder to each name, but none that stands in the question already."""
        text = "\n".join(_texts(value))
        taken = {found.lower() for found in _PLACEHOLDER.findall(text)}
        names = {"user": _found("user", text)}
        if self.hides_hosts:
            labelled = set(filter(_is_telling, _labelled_hosts(value)))
            self._hosts |= {part.lower() for name in labelled for part in (name, name.partition(".")[0])}
            hosts = labelled | _found("host", text)
            names["host"] = {name.partition(".")[0] for name in hosts}
            names["domain"] = {name.partition(".")[2] for name in hosts} - {""}
            names["ip"] = set(filter(_address, _found("ip", text)))
            names["mac"] = _found("mac", text)
        for kind, spellings in names.items():
            for spelling in sorted(spellings):
                self._place(kind, spelling, taken)

    def _names(self) -> re.Pattern[str]:
        """All that is to be replaced, in one go: no placeholder is looked at again."""
        kinds = ("user", "mac", "ip", "host") if self.hides_hosts else ("user",)
        patterns = [f"(?P<{kind}>{_FINDERS[kind].pattern})" for kind in kinds]
        if self._hosts:
            longest_first = sorted(self._hosts, key=lambda name: (-len(name), name))
            named = "|".join(map(re.escape, longest_first))
            patterns.append(rf"(?P<named>(?i:(?<![a-z0-9])(?:{named})(?![a-z0-9])))")
        return re.compile("|".join(patterns))

    def _placeholder_of(self, found: re.Match[str]) -> str:
        kind = next(kind for kind in ("user", "mac", "ip", "host", "named") if found.groupdict().get(kind))
        if kind in {"host", "named"}:
            host, dot, domain = found[0].partition(".")
            return self._known("host", host) + dot + (self._known("domain", domain) if dot else "")
        return self._known(kind, found[0])

    def _known(self, kind: str, name: str) -> str:
        return self._placeholders.get((kind, _canonical(kind, name)), name)

    def _place(self, kind: str, spelling: str, taken: set[str]) -> None:
        key = kind, _canonical(kind, spelling)
        if key in self._placeholders:
            return
        number = 1
        while (placeholder := f"{kind}-{number}") in taken or placeholder in self.names_by_placeholder:
            number += 1
        self._placeholders[key] = placeholder
        self.names_by_placeholder[placeholder] = spelling


def _without_people(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub(lambda found: found[0] if found["end"].lower() in _UNITS else MASK, text)
    if "+" in text:
        text = _PHONE.sub(MASK, text)
    text = _CARD.sub(lambda found: MASK if _is_card(found[0]) else found[0], text)
    return _IBAN.sub(lambda found: MASK if _is_account(found[0]) else found[0], text)


def _is_card(text: str) -> bool:
    """By the check digit of ISO/IEC 7812 (Luhn)."""
    numbers = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def _is_account(text: str) -> bool:
    """By the check digits of ISO 13616 (IBAN)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A copy with every string and every name changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(name) if isinstance(name, str) else name: _mapped(v, change) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(entry, change) for entry in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _texts(name)
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)


def _labelled_hosts(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if re.sub(r"[\W_]", "", name).lower().endswith(HOST_NAMES_END):
            yield from host_names({"host": value})
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _labelled_hosts(entry, str(key))
    elif isinstance(value, Iterable):
        for entry in value:
            yield from _labelled_hosts(entry, name)


def _canonical(kind: str, name: str) -> str:
    address = _address(name) if kind == "ip" else None
    plain = name.replace("-", ":") if kind == "mac" else name
    return str(address) if address else plain.lower()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, where the text is one that says which host it is of."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else address


def _found(kind: str, text: str) -> set[str]:
    return {found[0] for found in _FINDERS[kind].finditer(text)}


def _is_telling(name: str) -> bool:
    """Whether this is a host's name, and not that of every host."""
    return _HOST.fullmatch(name) is not None and name.lower().partition(".")[0] not in NO_NAMES
