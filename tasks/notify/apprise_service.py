"""One service of apprise's: what a URL of its kind names, and a message within that service's limits.

apprise is imported when it is needed: with its services that takes 0.5 s, which no command should pay for help.
"""

import logging
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.notify.text import shorten

if TYPE_CHECKING:
    from apprise import AppriseAsset
    from apprise.plugins.base import NotifyBase

# What tells this host only, or sends a packet that nobody confirms: "delivered" would say nothing.
REFUSED_SCHEMAS = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "rsyslog", "syslog", "windows"}
)
SCHEMA = re.compile(r"^([a-z0-9]{1,32})://", re.IGNORECASE)
# A zero-width space after these: text of an alert's must not call people,
MENTIONS = re.compile(r"(?i)@(?=(?:everyone|here|channel|all|room)\b)|(?<![\w.+-])@(?=[\w&!*])")
# nor hide behind words where a link leads: <url|words>, <a href>, [words](url), and [words] whose [words]: url.
MARKUP = re.compile(r"(?i)<(?=[a-z/!?@#&])|\](?=[(:])")
NO_MEANING = "\N{ZERO WIDTH SPACE}"
# What a service reads into its messages, or sends along, from files and pages that its URL names.
FILE_FIELDS = frozenset({"keyfile", "subfile", "pgp_key", "pgp_privkey"})
# What apprise puts between a title and a text that it writes into one.
JOINT_CHARS = 34
MIN_TEXT_CHARS = 30

_loading = threading.local()


def load(url: str) -> "NotifyBase":
    """The service of a URL, for one destination, that neither retries nor follows redirects nor reads files.

    Raises ValueError with no more of the URL than its schema.
    """
    import apprise  # noqa: PLC0415

    if re.search(r"\s|,\w+://", url.strip()):
        raise ValueError("is one URL of one destination; several destinations are several channels")
    schema = match[1].lower() if (match := SCHEMA.match(url)) else ""
    if schema in REFUSED_SCHEMAS:
        raise ValueError(f"{schema}:// tells this host only, or nobody can say whom")
    with _logging_nothing():
        try:
            service = apprise.Apprise.instantiate(url, asset=_signature())
        except Exception:  # noqa: BLE001  a hundred parsers of others' making, whose errors quote the URL
            service = None
    if service is None:
        raise ValueError(f"no URL that apprise can use{f' for {schema}://' if schema else ''}")
    # Whatever the URL says: tries are counted by us, and a failure is one.
    service.retry, service.optional, service.redirects = 0, False, False
    service.overflow_mode = apprise.OverflowMode.TRUNCATE
    # All texts are plain. As Markdown some services make mentions of what is none; HTML they get escaped.
    is_html = type(service).notify_format == apprise.NotifyFormat.HTML
    service.notify_format = apprise.NotifyFormat.HTML if is_html else apprise.NotifyFormat.TEXT
    if read := _read_by(service):
        raise ValueError(f"{read}: names a file or a page to read, which is refused")
    if len(service) > 1:
        # Were one of them told and another not, a retry would tell the first again.
        raise ValueError(f"names {len(service)} destinations; give each a channel of its own")
    return service


def _read_by(service: "NotifyBase") -> str:
    """By which field the service would read a file or a page; a template of its vendor's is a name only."""
    from apprise import AppriseAttachment  # noqa: PLC0415

    for name, value in vars(service).items():
        if value and (name in FILE_FIELDS or isinstance(value, AppriseAttachment)):
            return name
    return ""


def _signature() -> "AppriseAsset":
    from apprise import AppriseAsset  # noqa: PLC0415

    # Without images: readers would fetch them from apprise's own pages.
    return AppriseAsset(
        app_id="Watchkeeper", app_desc="Watchkeeper", app_url="", image_url_mask="", image_url_logo=""
    )


def fitted(service: "NotifyBase", title: str, text: str) -> tuple[str, str]:
    """Title and text that fit into the service's limits, visibly cut, that mention nobody and hide no link."""
    title, text = (_inert(service, part) for part in (title, text))
    room = service.body_maxlen
    if service.title_maxlen > 0 and not service.overflow_amalgamate_title:
        title = shorten(title, service.title_maxlen)
    else:
        room -= JOINT_CHARS
        title = shorten(title, max(room - MIN_TEXT_CHARS, 0))
        room -= len(_converted(service, title))
    return title, _fitted_text(service, _fitted_lines(service, text), room)


def _inert(service: "NotifyBase", text: str) -> str:
    from apprise import NotifyFormat  # noqa: PLC0415

    text = MENTIONS.sub(rf"\g<0>{NO_MEANING}", text)
    return text if service.notify_format == NotifyFormat.HTML else MARKUP.sub(rf"\g<0>{NO_MEANING}", text)


def _fitted_text(service: "NotifyBase", text: str, room: int) -> str:
    """The longest beginning that fits once it is written as the service wants it."""
    if len(_converted(service, text)) <= room:
        return text
    sizes = range(max(room, 0) + 1)
    kept = bisect_right(sizes, room, key=lambda size: len(_converted(service, shorten(text, size)))) - 1
    return shorten(text, max(kept, 0))


def _fitted_lines(service: "NotifyBase", text: str) -> str:
    lines, most = text.split("\n"), service.body_max_line_count
    if most <= 0 or len(lines) <= most:
        return text
    return "\n".join([*lines[: most - 1], f"… [+{len(lines) - most + 1:,} lines]"])


def _converted(service: "NotifyBase", text: str) -> str:
    """The text as apprise writes it for the service, such as with HTML's escapes."""
    from apprise import NotifyFormat  # noqa: PLC0415
    from apprise.conversion import convert_between  # noqa: PLC0415

    return str(convert_between(NotifyFormat.TEXT, service.notify_format, text))  # type: ignore[no-untyped-call]


@contextmanager
def _logging_nothing() -> Iterator[None]:
    """Drop what apprise says of a URL in this thread: it logs parts of it."""
    logging.getLogger("apprise").addFilter(_is_not_ours)
    _loading.is_running = True
    try:
        yield
    finally:
        _loading.is_running = False


def _is_not_ours(record: logging.LogRecord) -> bool:
    del record
    return not getattr(_loading, "is_running", False)
