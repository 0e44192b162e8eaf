"""One-off messages as they are made, before anybody sends them."""

import time

from tasks.notify.message import MAX_MESSAGE_CHARS
from tasks.notify.one_off import OneOff, compose_one_off


def test_long_texts_are_cut_before_anything_costly_is_done_with_them() -> None:
    text = "https://a:hunter2@c/d?x=y&token=z " * 37_000
    wish = OneOff(title=text, message=text, tags={str(n): text for n in range(5)})

    started = time.process_time()
    made = compose_one_off(wish)
    spent = time.process_time() - started

    assert spent < 0.5
    assert "hunter2" not in repr(made)
    assert len(made.message) <= MAX_MESSAGE_CHARS
    left_out = int(made.message.rpartition("[+")[2].removesuffix(" characters]").replace(",", ""))
    assert 1_200_000 < left_out < len(text)


def test_no_part_of_a_secret_is_told_that_the_cut_goes_through() -> None:
    token = "ghp_" + "a1B2" * 9

    for before in range(0, 200, 5):
        # What is hidden shrinks to nothing, so that the end of what was looked at is told.
        text = "password=" + "x" * (4 * MAX_MESSAGE_CHARS - before) + f" {token} and more"
        message = compose_one_off(OneOff(title="t", message=text)).message

        assert message.startswith("password=***")
        assert "ghp_" not in message


def test_text_of_one_word_or_of_hardly_any_is_told_as_far_as_it_goes() -> None:
    word = compose_one_off(OneOff(title="t", message="x" * 100_000)).message
    space = compose_one_off(OneOff(title="t", message="x" + " " * 100_000)).message

    kept, _, left_out = word.partition("… [+")
    assert set(kept) == {"x"}
    assert len(kept) + int(left_out.removesuffix(" characters]").replace(",", "")) == 100_000
    assert space.startswith("x ")
