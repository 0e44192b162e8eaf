"""Words of a model without anything to click and without anyone to ping, in whatever channel they are shown."""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

REMOVED = "[link removed]"

# Endings of files, units, settings and readings. None is the ending of a domain that anybody could buy
# (https://data.iana.org/TLD/tlds-alpha-by-domain.txt), so `.sh`, `.py`, `.so`, `.md`, `.pid` and `.zip` are none.
_ENDINGS = (
    "service|socket|device|mount|automount|swap|target|path|timer|slice|scope|netdev|rules|sock|lock"
    "|log|logs|out|err|conf|config|cnf|cfg|ini|env|toml|yml|yaml|json|jsonl|xml|html|css|csv|tsv|txt|rst|tmpl"
    "|js|ts|rb|go|cs|java|jar|war|class|lua|php|sql|sqlite|db|gz|xz|zst|tar|tgz|rpm|deb|img|iso|bin|exe|dll|ko"
    "|tmp|bak|old|orig|swp|dump|pcap|hprof|pem|crt|cer|csr|key|local|internal|lan|localdomain|localhost|svc|apps"
    "|swappiness|somaxconn|panic|shmmax|shmall|sysrq|used|usage|percent|pct|idle|iowait|count|avg|max|min|sum"
    "|bytes|seconds|rate|errors|latency|user|system|util|load|size|value|status|state|phase|spec|replicas"
    "|containers|resources|limits|requests|memory|cpu|disk|available|environ"
)
_TAGS = (
    "a|abbr|at|b|blockquote|br|code|div|em|font|h[1-6]|hr|i|iframe|img|li|ol|p|pre|script|span|strong|style|table"
    "|td|th|tr|u|ul"
)
_ON = r"""[^\s<>"'`|\\]"""

# Each is linear: nothing before a bound that the same characters could match twice.
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]\n]{0,500})\]\([^()\n]{0,2000}\)")
_SLACK_LINK = re.compile(r"<\w{1,30}:[^<>|\n]{0,2000}\|([^<>\n]{0,500})>")
_SLACK_MENTION = re.compile(r"<[!@#][&!]?(?:[^<>|\n]{0,200}\|)?([^<>|\n]{0,200})>")
_TAG = re.compile(
    rf"(?i) ?<(?:/?(?:{_TAGS})(?:[\s/][^<>]{{0,2000}})?|[a-z][\w-]{{0,40}}\s[^<>=]{{0,200}}=[^<>]{{0,2000}})> ?"
)
_URL = re.compile(rf"(?i)[a-z][a-z0-9+.-]{{0,30}}://{_ON}*|\b(?:https?|ftp):[\\/]+{_ON}*|\bwww\.{_ON}+")
_BARE_SCHEME = re.compile(rf"(?i)\b(?:mailto:|javascript:|vbscript:|tel:|sms:|data:[\w-]+/){_ON}+")
# Nothing makes a link of a part of a path: /srv/evil.com, ./run.sh.
_START = r"(?<![\w.-])(?<![^/]/)"
_DOTTED = re.compile(rf"{_START}\w[\w-]*(?:\.[\w-]+)+")
_ADDRESS = re.compile(
    rf"{_START}(\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?=(?::\d{{1,5}})?[/?#])(?P<is_network>(?=/\d{{1,2}}(?![\w/]|\.\w)))?"
)
_LINKABLE = re.compile(rf"(?i)(?!(?:{_ENDINGS}|[a-z]*(?:error|exception))$)(?:[^\W\d_]{{2,63}}|xn--[\w-]+)$")
# Dots that a browser takes for ours, save where they end a sentence of Chinese or Japanese.
_CJK = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WIDE_DOT = re.compile(rf"(?<=[^\W{_CJK}])[\u3002\uff0e\uff61\u2024\ufe52](?=[^\W{_CJK}])")
_MENTION_OF_ALL = re.compile(r"(?i)@(?=(?:everyone|here|channel|all)\b(?![.-]?\w))")
_SEVERAL_ATS = re.compile("@{2,}")
# One between two names is an account at a host: root@db-1.
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_OPENING = re.compile(r"<(?=[\w/!?@#&])")


def unlinked(text: str, hosts: Collection[str] = ()) -> str:
    """The text without URLs, Markdown and Slack links, HTML tags and mentions. The words of a link stay.

    What could be a domain becomes `evil[.]com`, which no client makes a link of, save for these hosts; so does an
    IPv4 address before a path. To a shell `run[.]sh` is still the file. Of a URL of these hosts or of localhost
    only the scheme goes: `curl localhost:8080/healthz` can still be run.
    """
    known = {"localhost", *(host.lower() for host in hosts)}
    text = _WIDE_DOT.sub(".", text)
    text = _MARKDOWN_LINK.sub(rf"\1 {REMOVED}", text)
    text = _SLACK_LINK.sub(rf"\1 {REMOVED}", text)
    text = _SLACK_MENTION.sub(r"\1", text)
    # By a space, so that what stood around a tag does not become a URL.
    text = _TAG.sub(" ", text)
    text = _URL.sub(lambda found: _url(found[0], known), text)
    text = _BARE_SCHEME.sub(REMOVED, text)
    text = _ADDRESS.sub(lambda found: _address(found, known), text)
    text = _DOTTED.sub(lambda found: _dotted(found[0], known), text)
    text = _MENTION_OF_ALL.sub(" ", _MENTION.sub("", _SEVERAL_ATS.sub("@", text)))
    # What is left is no tag and no link any more, while a command means the same: `sort < file`.
    return _OPENING.sub("< ", text).replace("](", "] (")


def _url(url: str, known: Collection[str]) -> str:
    bare = url.rstrip(").,;:!?]}*_")
    rest = url[len(bare) :]
    try:
        host = urlsplit(bare).hostname or ""
    except ValueError:
        return REMOVED + rest
    is_ours = "@" not in bare and _is_known(host, known)
    return (bare.partition("://")[2] if is_ours else REMOVED) + rest


def _is_known(host: str, known: Collection[str]) -> bool:
    if host in known:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _address(found: re.Match[str], known: Collection[str]) -> str:
    address = found[1]
    if _is_known(address, known) or (found["is_network"] is not None and not _is_public(address)):
        return address
    return address.replace(".", "[.]")


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return True


def _dotted(name: str, known: Collection[str]) -> str:
    ending = name.rpartition(".")[2].rstrip("_-")  # `_evil.com_` is in italics
    is_readable = not _LINKABLE.match(ending) or name.lower() in known
    return name if is_readable else name.replace(".", "[.]")
