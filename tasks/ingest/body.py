"""From the bytes of a webhook to a JSON value that can be stored, or a reason why not."""

import codecs
import json
from typing import Any
from urllib.parse import parse_qsl

MAX_DEPTH = 256
FORM_TYPE = "application/x-www-form-urlencoded"
FORM_MAX_FIELDS = 500
# The field in which senders put the whole JSON of a form.
FORM_PAYLOAD = "payload"


class BodyError(Exception):
    """The bytes are not JSON we read; the message says why and repeats nothing of them."""


def read_body(body: bytes, content_type: str = "") -> Any:
    """The JSON value of a body, or what a form says where that is what the sender's Content-Type names.

    JSON is tried first, because `curl -d` sends it under a form's type. Raises BodyError.
    """
    try:
        return read_json(body)
    except BodyError:
        if _is_form(body, content_type):
            return _read_form(body)
        raise


def read_json(body: bytes) -> Any:
    """The JSON value of a body: UTF-8 with or without a BOM, nested at most MAX_DEPTH deep.

    NaN and Infinity, which Python's parser accepts, become text. Raises BodyError.
    """
    if not body.strip():
        raise BodyError("the body is empty")
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=str)
    except UnicodeDecodeError:
        raise BodyError("the body is not UTF-8 text") from None
    except RecursionError:
        raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        position = (
            f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise BodyError(f"the body is not JSON{position}") from None
    # Fewer brackets than levels allowed cannot be too deep; only the others are walked.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH} levels")
    return value


def _is_form(body: bytes, content_type: str) -> bool:
    """Whether a body that is not JSON is a form; what begins as JSON does is a broken one."""
    media_type = content_type.partition(";")[0].strip().casefold()
    return media_type == FORM_TYPE and b"=" in body and not _begins_as_json(body.removeprefix(codecs.BOM_UTF8))


def _begins_as_json(text: bytes) -> bool:
    return text.lstrip()[:1] in {b"{", b"["}


def _read_form(body: bytes) -> Any:
    """The JSON in the field `payload`, or in the only field; else all fields as a flat object of text."""
    fields = _form_fields(body)
    wrapped = fields.get(FORM_PAYLOAD, "") if len(fields) > 1 else next(iter(fields.values()))
    raw = wrapped.encode()
    return read_json(raw) if _begins_as_json(raw) else fields


def _form_fields(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("utf-8-sig").strip()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_MAX_FIELDS))
    except UnicodeDecodeError:
        raise BodyError("the form is not UTF-8 text") from None
    except ValueError:
        raise BodyError(f"the form has more than {FORM_MAX_FIELDS} fields") from None


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = (
            [
                child
                for parent in level
                for child in (parent.values() if isinstance(parent, dict) else parent)
                if isinstance(child, dict | list)
            ]
            if any(isinstance(item, dict | list) for item in level)
            else []
        )
        if not level:
            return False
    return True
