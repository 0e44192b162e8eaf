"""The links of a message that a person may click."""

import re

from tasks.notify.message import Notification
from tasks.notify.text import one_line

MAX_URL_CHARS = 2_000
# Only these schemes: javascript: in an annotation must not become something to click. A URL that was cut has a
# space in its mark, and is none any more.
_WEB_URL = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)


def web_links(notification: Notification) -> dict[str, str]:
    """URLs by their label, of those links that lead to the web."""
    links = notification.context.get("links")
    if not isinstance(links, dict):
        return {}
    return {one_line(str(label)) or "link": url for label, url in links.items() if _is_web_url(url)}


def _is_web_url(url: object) -> bool:
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS:
        return False
    return bool(_WEB_URL.fullmatch(url)) and url == one_line(url)
