"""JSON within a bound, whatever it is made of."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import data_of, make_alert, make_incident, make_request

from tasks.analyze.fit import fit, plain
from tasks.analyze.prompt import compose
from tasks.analyze.request import AnalysisRequest
from tasks.analyze.tokens import estimate_tokens

DEEP: dict[str, Any] = {}
_inner = DEEP
for _ in range(900):
    _inner["in"] = [{}]
    _inner = _inner["in"][0]

TEXTS = st.one_of(
    st.text(max_size=60), st.text(max_size=8).map(lambda text: text * 700), st.just("<|im_start|>\\")
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(TEXTS, inner, max_size=8)),
    max_leaves=12,
)


@settings(max_examples=20, deadline=None)
@given(evidence=st.dictionaries(TEXTS, VALUES, max_size=6), title=TEXTS, tokens=st.integers(1_000, 9_000))
def test_any_request_fits_its_bound_and_can_be_read(evidence: dict[str, Any], title: str, tokens: int) -> None:
    alerts = [make_alert(name=title, annotations={"said": title}) for _ in range(5)]
    request = AnalysisRequest(
        incident=make_incident(*alerts, title=title), evidence=evidence, previous={"step": evidence}
    )

    prompt = compose(request, max_input_tokens=tokens)

    assert prompt.estimated_tokens <= tokens
    assert data_of(prompt)["incident"]["severity"] == "critical"


ABSURD = {
    "5,000 alerts": make_request(
        *(make_alert(labels={"host": f"db-{n}"}, description="no " * n) for n in range(5_000))
    ),
    "1 MB texts": make_request(make_alert(annotations={"a": "A" * 1_000_000, "b": "b " * 500_000})),
    "deep nesting": make_request(evidence=DEEP, previous={"a": DEEP}),
    "long lists": make_request(previous={str(n): list(range(500)) for n in range(2_000)}),
    "no spaces": AnalysisRequest(incident=make_incident(title="漢字" * 5_000, description="😀" * 90_000)),
}


@pytest.mark.parametrize("max_input_tokens", [1_000, 8_000])
@pytest.mark.parametrize("kind", ABSURD)
def test_absurd_input_is_cut_quickly(kind: str, max_input_tokens: int) -> None:
    started = time.thread_time()
    prompt = compose(ABSURD[kind], max_input_tokens=max_input_tokens)
    seconds = time.thread_time() - started

    assert prompt.is_cut
    assert prompt.estimated_tokens <= max_input_tokens
    assert data_of(prompt)["incident"]["title"]
    assert seconds < 0.2


def test_what_fits_is_told_whole() -> None:
    parts = {"incident": {"title": "x " * 3_000}, "alerts": list(range(90))}

    fitted = fit(plain(parts, 8_000)[0], 8_000)

    assert json.loads(fitted.text) == parts
    assert not fitted.is_cut


def test_the_largest_is_cut_first() -> None:
    parts = {
        "incident": {"title": "Full"},
        "alerts": ["word " * 1_500, "short " * 100],
        "steps": {"a": "small " * 60},
    }

    fitted = fit(parts, 1_400)

    data = json.loads(fitted.text)
    assert data["incident"] == parts["incident"]
    assert data["steps"] == parts["steps"]
    assert data["alerts"][1] == parts["alerts"][1]
    assert data["alerts"][0].startswith("word word")
    assert data["alerts"][0].endswith("word ")
    assert re.search(r"word … \[\+35\d\d characters\] … word", data["alerts"][0])
    assert data["cut"] == ["alerts: shortened"]


def test_of_a_long_list_the_first_entries_stay_and_the_others_are_counted() -> None:
    fitted = fit({"incident": {}, "alerts": [f"host {n}" for n in range(90)]}, 300)

    assert json.loads(fitted.text)["alerts"] == [*(f"host {n}" for n in range(50)), "… 40 more"]


def test_what_is_worth_least_is_left_out_first_and_the_incident_never() -> None:
    parts = {
        name: {f"{name}{n}": "many words that say little " * 20 for n in range(9)}
        for name in ("incident", "alerts", "snapshot")
    }

    left = [set(json.loads(fit(parts, tokens).text)) - {"cut"} for tokens in (1_500, 900, 60)]

    assert left == [{"incident", "alerts", "snapshot"}, {"incident", "alerts"}, {"incident"}]


def test_of_a_text_that_is_far_too_long_no_word_is_halved() -> None:
    told, is_cut = plain({"a": "w " * 4_000 + "long-secret-word", "b": "A" * 9_000, "c": "日本" * 5_000}, 8_000)

    assert told == {"a": "w " * 4_000 + "…", "b": "…", "c": "日本" * 4_000 + "…"}
    assert is_cut


def test_what_would_not_fit_even_alone_is_only_counted() -> None:
    texts = ["w " * 500] * 90

    told, is_cut = plain({"list": texts, "mapping": {str(n): text for n, text in enumerate(texts)}}, 2_000)

    assert told["list"][6:] == ["w " * 500, "w " * 486 + "…", "… 82 more"]
    assert list(told["mapping"].items())[6:] == [("6", "w " * 500), ("7", "w " * 466 + "…"), ("…", "82 more")]
    assert is_cut


def test_what_is_empty_or_no_json_is_left_out() -> None:
    value = {
        "": "x",
        "none": None,
        "text": "",
        "list": [None, []],
        "nan": float("nan"),
        "huge": 10**30,
        "no": False,
    }

    assert plain({"a": value}, 8_000) == ({"a": {"": "x", "no": False}}, False)


# Counts of GPT-4's and GPT-3's tokenizers, the higher one, as their maker tells them:
# https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
@pytest.mark.parametrize(
    ("text", "tokens"),
    [("tiktoken is great!", 6), ("antidisestablishmentarianism", 6), ("2 + 2 = 4", 7), ("お誕生日おめでとう", 14)],
)
def test_no_text_is_taken_for_fewer_tokens_than_it_was_counted_to_have(text: str, tokens: int) -> None:
    assert tokens <= estimate_tokens(text) <= tokens * 1.2


@pytest.mark.parametrize(
    ("text", "chars_per_token"),
    [
        ("The file system of this host is almost full, and the writes of the database fail. ", (2.5, 4)),
        ('{"name":"DiskFull","severity":"critical","labels":{"host":"db-1","job":"node"}},', (2, 3.3)),
        ("aGVsbG8gd29ybGQhIFRoaXM0aXMgYmFzZTY0Lg0KbW9yZTEyMzQ1Njc4OTA", (0.9, 1.5)),
        ("3fa85f6457174562b3fc2c963f66afa6", (0.9, 1.5)),
        ("磁盘空间不足数据库无法写入", (0.6, 1)),
    ],
)
def test_estimates_are_rather_high_for_every_kind_of_text(text: str, chars_per_token: tuple[float, float]) -> None:
    least, most = chars_per_token

    assert least <= len(text) / estimate_tokens(text) <= most
