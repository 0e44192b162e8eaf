"""How a channel names a template: the text itself, or a file in the folder of templates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from tasks.notify.templating.sandbox import (
    MAX_TEMPLATE_CHARS,
    UnusableError,
    check_name,
    check_source,
    read_template,
)

FILE_MARK = "file:"
INLINE = "of the channel"


def _check(value: Any) -> Any:
    """Refuse what can never work. A file may still be missing: it is looked for when a message is made."""
    if isinstance(value, dict):
        if value.keys() != {"type", "template"} or not all(isinstance(each, str) for each in value.values()):
            raise ValueError('must be {"type": "file" or "inline", "template": …}')
        if value["type"] not in {"file", "inline"}:
            raise ValueError("type must be file or inline")
    elif not isinstance(value, str):
        raise ValueError("must be a template, file:NAME, or an object with type and template")  # noqa: TRY004  pydantic's
    kind, content = split(value)
    if kind == "file":
        check_name(content)
        return value
    if len(content) > MAX_TEMPLATE_CHARS:
        raise ValueError(f"must not be longer than {MAX_TEMPLATE_CHARS:,} characters")
    try:
        check_source(content)
    except UnusableError as error:
        raise ValueError(str(error)) from None
    return value


# Jinja text, "file:NAME", {"type": "file", "template": "NAME"} or {"type": "inline", "template": "TEXT"}.
TemplateRef = Annotated[str | dict[str, str], BeforeValidator(_check)]


def split(reference: TemplateRef) -> tuple[str, str]:
    """Whether it is file or inline, and the name or the text."""
    if isinstance(reference, dict):
        return reference["type"], reference["template"]
    if reference.startswith(FILE_MARK):
        return "file", reference.removeprefix(FILE_MARK).strip()
    return "inline", reference


def name_of(reference: TemplateRef) -> str:
    """What people call it."""
    kind, content = split(reference)
    return content if kind == "file" else INLINE


def read(reference: TemplateRef, folder: Path) -> str:
    """The text of the template. Raises UnusableError."""
    kind, content = split(reference)
    return read_template(folder, content) if kind == "file" else content


def default(folder: Path, names: Sequence[str]) -> TemplateRef | None:
    """The first of these files that exists, for a channel that names none. Raises UnusableError."""
    try:
        return next((f"{FILE_MARK}{name}" for name in names if (folder / name).is_file()), None)
    except OSError as error:
        raise UnusableError(f"it cannot be read ({error.strerror})") from None
