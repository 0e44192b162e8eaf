import os
from pathlib import Path

import pytest

from tasks.check.readings.text import MAX_PATH_CHARS, decoded, kernel_text, printable, printable_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("größe 5", "größe 5"),
        ("a\x00b", "a?b"),
        ("a\nb\x1b[31m", "a?b?[31m"),
        ("a\u202eb", "a?b"),
        ("caf\udce9", "caf?"),
        ("1234567890", "1234567890"),
        ("12345678901", "123456789…"),
    ],
)
def test_what_cannot_be_shown_is_a_question_mark_and_what_is_too_long_is_seen_to_be_cut(
    text: str, shown: str
) -> None:
    assert printable(text, 10) == shown


def test_of_a_path_odd_bytes_are_told_and_of_a_long_one_both_ends() -> None:
    assert printable_path(os.fsdecode(b"/caf\xe9/\x1b[31m")) == "/caf\\udce9/?[31m"
    long = printable_path("/" + "a" * 1000 + "/" + "z" * 1000)
    assert (len(long), long[:3], long[-3:]) == (MAX_PATH_CHARS, "/aa", "zzz")


def test_lines_stay_lines_when_bytes_are_read_as_text() -> None:
    assert decoded(b"one\ncaf\xe9\x00\n") == "one\ncaf\ufffd\n"


def test_a_file_of_the_kernel_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"nvme\x00\n")

    assert kernel_text(tmp_path / "name") == "nvme"
    assert kernel_text(tmp_path / "label") == kernel_text(tmp_path) == ""
