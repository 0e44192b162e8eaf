"""Which URLs are the console's."""

from urllib.parse import unquote

from flask import request

PREFIX = "/admin"
STATIC = f"{PREFIX}/static/"


def is_console_page() -> bool:
    """Whether the present request is for a page of the console, which answers in HTML."""
    return is_page(request.path)


def is_page(path: str) -> bool:
    """Whether that is the path of a page of the console."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def is_file(path: str) -> bool:
    """Whether that is the path of a static file, which is everybody's and has no session."""
    return path.startswith(STATIC)


def is_within(url: str) -> bool:
    """Whether a URL that a stranger may have made leads to a page of the console, and nowhere else."""
    path = unquote(url.partition("?")[0])
    is_plain = url.isprintable() and "\\" not in path and "//" not in path
    return is_page(path) and is_plain and not {".", ".."} & set(path.split("/"))
