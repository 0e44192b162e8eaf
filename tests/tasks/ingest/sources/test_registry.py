"""What holds for every source of the registry."""

from pathlib import Path
from typing import Any

import pytest
from mutations import NASTY, mutations

from tasks.ingest import sources
from tasks.ingest.body import read_body
from tasks.ingest.sources.base import UnreadablePayloadError

PAYLOADS = Path(__file__).parents[3] / "payloads"
SAMPLES = sorted(
    str(path.relative_to(PAYLOADS)) for name in sources.SOURCES for path in (PAYLOADS / name).glob("*.json")
)


def sample(name: str) -> Any:
    return read_body((PAYLOADS / name).read_bytes())


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_recognised_as_its_own_and_as_no_other_vendors(name: str) -> None:
    payload = sample(name)

    claimed = {source for source, module in sources.SOURCES.items() if module.detect(payload)} - {sources.LAST}

    own = name.split("/", maxsplit=1)[0]
    assert claimed <= {own}
    assert sources.recognise(payload) == own


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "unnamed"])
def test_mutated_body_gives_alerts_faults_a_remark_or_the_one_error(name: str, *, is_named: bool) -> None:
    source = name.split("/", maxsplit=1)[0] if is_named else ""
    readable = unreadable = 0

    for mutation in mutations(sample(name)):
        try:
            parsed = sources.parse(mutation, source=source)
        except UnreadablePayloadError as error:
            unreadable += bool(str(error))
        else:
            readable += 1
            assert parsed.alerts or parsed.faults or parsed.remark

    assert readable > 0
    assert unreadable >= (len(NASTY) if is_named else 1)


@pytest.mark.parametrize("source", sources.SOURCES)
@pytest.mark.parametrize("payload", [None, 5, "text", [], {}, True], ids=repr)
def test_body_without_anything_of_the_source_is_refused_in_words(source: str, payload: Any) -> None:
    with pytest.raises(UnreadablePayloadError, match=r"\w+"):
        sources.parse(payload, source=source)


def test_ambiguous_body_is_refused_with_its_candidates() -> None:
    both = sample("newrelic/01_workflow_activated_default.json") | sample("opsgenie/01_create_p1.json")

    with pytest.raises(UnreadablePayloadError, match="ambiguous payload: it could be newrelic or opsgenie"):
        sources.parse(both)


def test_named_source_wins_over_an_ambiguous_body() -> None:
    both = sample("newrelic/01_workflow_activated_default.json") | sample("opsgenie/01_create_p1.json")

    assert sources.parse(both, source="opsgenie").alerts[0].name == "API p99 above SLO"


@pytest.mark.parametrize(
    "payload",
    [
        {"title": "UPS on battery", "state": "alerting"},
        {"title": "UPS on battery", "orgId": 1},
        {"title": "UPS on battery", "state": "ok", "orgId": 1, "message": "back"},
    ],
)
def test_body_with_a_few_of_grafanas_words_is_not_swallowed_as_grafanas(payload: dict[str, Any]) -> None:
    parsed = sources.parse(payload)

    assert (parsed.source, [alert.name for alert in parsed.alerts]) == ("generic", ["UPS on battery"])


def test_source_that_there_is_not_is_refused_in_words() -> None:
    with pytest.raises(UnreadablePayloadError, match="the source is not known; one of grafana, "):
        sources.parse({"name": "Disk full"}, source="nagios")
