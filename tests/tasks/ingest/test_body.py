"""From the bytes of a webhook to a value: JSON under whatever name, and forms."""

import json
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.body import FORM_MAX_FIELDS, MAX_DEPTH, BodyError, read_body, read_json

FORM = "application/x-www-form-urlencoded"
JSON = {"name": "Disk full", "labels": {"host": "db-1"}, "text": "50 % & more = worse ü"}


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", FORM, f"{FORM}; charset=utf-8"])
@pytest.mark.parametrize("start", ["", "\ufeff", " \r\n"])
def test_json_is_json_whatever_the_sender_calls_it(content_type: str, start: str) -> None:
    body = (start + json.dumps(JSON, ensure_ascii=False)).encode()

    assert read_body(body, content_type) == JSON


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), f" {FORM} ; charset=utf-8"])
def test_form_is_a_flat_object_of_text(content_type: str) -> None:
    assert read_body(b"title=Disk+full&count=5&note=&x=%C3%BC%26%3D", content_type) == {
        "title": "Disk full",
        "count": "5",
        "note": "",
        "x": "ü&=",
    }


@pytest.mark.parametrize("field", ["payload", "alert", "", "Payload"])
def test_json_in_the_only_field_of_a_form_is_the_value(field: str) -> None:
    assert read_body(urlencode({field: json.dumps(JSON)}).encode(), FORM) == JSON
    assert read_body(urlencode({field: json.dumps([JSON])}).encode(), FORM) == [JSON]


def test_json_in_the_field_payload_is_the_value_beside_others() -> None:
    assert read_body(urlencode({"token": "x", "payload": json.dumps(JSON), "v": 1}).encode(), FORM) == JSON


def test_json_in_another_field_among_several_stays_text() -> None:
    text = json.dumps(JSON)

    assert read_body(urlencode({"a": "1", "org": text}).encode(), FORM) == {"a": "1", "org": text}


@pytest.mark.parametrize("value", ["5", "null", "true", '"text"', "", "plain"])
def test_single_field_that_holds_no_object_stays_a_field(value: str) -> None:
    assert read_body(f"title={quote_plus(value)}".encode(), FORM) == {"title": value}


def test_stray_separators_of_a_form_are_passed_over() -> None:
    assert read_body(b"&a=1&&b&\n", FORM) == {"a": "1", "b": ""}


def test_form_may_have_a_byte_order_mark() -> None:
    assert read_body(b"\xef\xbb\xbfa=1", FORM) == {"a": "1"}


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data", "x-www-form-urlencoded"])
def test_form_under_another_name_is_refused_as_json(content_type: str) -> None:
    with pytest.raises(BodyError, match="not JSON"):
        read_body(b"title=x", content_type)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hunter2", "not JSON"),
        (b'{"link": "https://x/?a=hunter2"', "not JSON"),
        (b'\xef\xbb\xbf[{"a": "b=hunter2"}', "not JSON"),
        (b"hunter2=\xff\xfe", "not UTF-8"),
        (b"payload=%7B%22hunter2", "not JSON"),
        (b"payload=" + b"%5B" * (MAX_DEPTH + 1) + b"%5D" * (MAX_DEPTH + 1), "nested deeper"),
        (b"a=" + b"[" * 5 + b"hunter2", "not JSON"),
        (b"&".join([b"hunter2=1"] * (FORM_MAX_FIELDS + 1)), "more than 500 fields"),
    ],
)
def test_what_is_neither_is_refused_and_not_repeated(body: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason) as error:
        read_body(body, FORM)

    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(("depth", "is_read"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_nesting_is_read_up_to_the_limit(depth: int, is_read: bool) -> None:
    body = b"[" * depth + b"]" * depth

    if is_read:
        assert isinstance(read_json(body), list)
    else:
        with pytest.raises(BodyError, match="nested deeper"):
            read_json(body)


def test_as_many_fields_as_are_allowed_are_read() -> None:
    body = "&".join(f"f{number}=x" for number in range(FORM_MAX_FIELDS)).encode()

    assert len(read_body(body, FORM)) == FORM_MAX_FIELDS


@given(st.binary(max_size=60) | st.text('{}[]"=&%+,:a1\u00fc\ud7ff \n', max_size=40).map(str.encode))
def test_no_bytes_raise_anything_but_body_error(body: bytes) -> None:
    for content_type in (FORM, "application/json"):
        try:
            value: Any = read_body(body, content_type)
        except BodyError:
            continue
        json.dumps(value)


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=2).filter(lambda fields: "payload" not in fields))
def test_every_form_is_read_back_as_it_was_written(fields: dict[str, str]) -> None:
    assert read_body(urlencode(fields).encode(), FORM) == fields


def test_json_alone_can_still_be_asked_for() -> None:
    with pytest.raises(BodyError, match="not JSON"):
        read_json(b"a=1")
