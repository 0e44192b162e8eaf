"""Properties of the fingerprint that we make where a sender gives none."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest import sources
from tasks.ingest.fingerprint import MAX_CHARS, bounded, fingerprint_of

TEXT = st.text(max_size=20)
LABELS = st.dictionaries(TEXT, TEXT, max_size=6)
# What may differ between two deliveries of one alert.
PASSING = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["firing", "resolved"]),
        "severity": st.sampled_from(["critical", "warning", "whatever"]),
        "description": TEXT,
        "started_at": st.datetimes().map(lambda moment: moment.isoformat()),
        "annotations": LABELS,
    },
)


def parsed_fingerprint(body: dict[str, Any]) -> str:
    return sources.parse(body, source="generic").alerts[0].fingerprint


@given(name=TEXT, labels=LABELS, order=st.randoms())
def test_order_of_labels_does_not_matter(name: str, labels: dict[str, str], order: Any) -> None:
    items = list(labels.items())
    order.shuffle(items)

    assert fingerprint_of(name, dict(items)) == fingerprint_of(name, labels)


@given(name=TEXT, one=LABELS, other=LABELS)
def test_labels_matter(name: str, one: dict[str, str], other: dict[str, str]) -> None:
    assert (fingerprint_of(name, one) == fingerprint_of(name, other)) == (one == other)


@given(one=TEXT, other=TEXT, labels=LABELS)
def test_name_matters_and_cannot_pose_as_a_label(one: str, other: str, labels: dict[str, str]) -> None:
    assert (fingerprint_of(one, labels) == fingerprint_of(other, labels)) == (one == other)
    assert fingerprint_of(one, {other: ""}) != fingerprint_of(one + other, {})


@given(labels=LABELS, one=PASSING, other=PASSING)
def test_status_time_and_text_do_not_matter(
    labels: dict[str, str], one: dict[str, Any], other: dict[str, Any]
) -> None:
    alert = {"name": "Disk full", "labels": labels}

    assert parsed_fingerprint(alert | one) == parsed_fingerprint(alert | other)


@given(one=st.text(min_size=1, max_size=600), other=st.text(min_size=1, max_size=600))
def test_senders_own_fingerprints_stay_apart_however_long(one: str, other: str) -> None:
    assert (bounded(one) == bounded(other)) == (one == other)
    assert len(bounded(one)) <= MAX_CHARS
