"""What a transform node takes out of an earlier output."""

from functools import reduce
from typing import Any

import pytest
from pydantic import ValidationError

from storage.runs import HeldRun
from tasks.attempt import StageContext
from tasks.transform.stage import MAX_CHARS, MAX_DEPTH, TransformConfig, transform, work
from tasks.transform.view import view_of

CHECKED = view_of(
    {
        "stage": "CHECK",
        "checks_run": 2,
        "checks": [
            {"checker_name": "cpu", "status": "warning", "metrics": {"cpu_percent": 91.5}},
            {"checker_name": "disk", "status": "ok", "metrics": {}},
        ],
        "errors": [],
    }
)
ANALYZED = view_of(
    {
        "stage": "ANALYZE",
        "analyses": [
            {"provider": "local", "analysis": {"summary": "worst", "recommendations": [{"priority": "high"}]}},
            {"provider": "local", "analysis": {"summary": "other", "recommendations": [{"priority": "HIGH"}, {}]}},
        ],
    }
)


def made(view: dict[str, Any], **config: Any) -> tuple[Any, list[str]]:
    result = transform(TransformConfig(source_node="x", **config), view)
    return result.transformed, result.errors


def test_paths_of_the_seeds_lead_somewhere() -> None:
    assert made(CHECKED, extract="checks_run") == (2, [])
    assert made(CHECKED, extract="results.cpu.metrics.cpu_percent") == (91.5, [])
    assert made(CHECKED, extract="checks.0.checker_name") == ("cpu", [])
    assert made(CHECKED, extract="status") == ("warning", [])
    assert made(ANALYZED, mapping={"why": "summary", "who": "provider"}) == ({"why": "worst", "who": "local"}, [])


def test_priority_is_compared_without_case() -> None:
    kept = [{"priority": "high"}, {"priority": "HIGH"}]

    assert made(ANALYZED, extract="recommendations", filter_priority="High") == (kept, [])
    assert made(ANALYZED, filter_priority="high", mapping={"urgent": "recommendations"}) == ({"urgent": kept}, [])


def test_mapping_of_a_list_maps_its_entries() -> None:
    mapped = made(ANALYZED, extract="recommendations", filter_priority="high", mapping={"p": "priority"})

    assert mapped == ([{"p": "high"}, {"p": "HIGH"}], [])


@pytest.mark.parametrize("path", ["nothing", "checks.9.x", "checks.x", "checks_run.x", "checks.-1"])
def test_path_that_leads_nowhere_is_an_error_and_null(path: str) -> None:
    assert made(CHECKED, extract=path) == (None, [f"extract: there is nothing at {path!r}"])
    assert made(CHECKED, mapping={"new": path}) == ({"new": None}, [f"mapping.new: there is nothing at {path!r}"])


def test_what_is_no_list_is_not_filtered() -> None:
    assert made(CHECKED, extract="checks_run", filter_priority="low") == (
        None,
        ["filter_priority: there is no list to filter"],
    )


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ("x" * MAX_CHARS, f"has {MAX_CHARS + 2} characters as JSON; at most {MAX_CHARS} are kept"),
        (reduce(lambda inner, _: [inner], range(MAX_DEPTH + 1), 0), f"nested deeper than {MAX_DEPTH} levels"),
    ],
    ids=["too-long", "too-deep"],
)
def test_of_what_is_too_much_nothing_is_kept(found: Any, fault: str) -> None:
    context = StageContext(
        run=HeldRun(1, "run", 1, "trace", "", "test", "mine", 0, None),
        node_id="t",
        config=TransformConfig(source_node="x", extract="found"),
        attempt=1,
        is_last_attempt=True,
        previous={"x": {"stage": "INGEST", "found": found}},
    )

    kept = work(context)

    assert kept.transformed is None
    assert fault in kept.errors[0]


def test_unknown_priority_is_refused() -> None:
    with pytest.raises(ValidationError):
        TransformConfig(source_node="x", filter_priority="urgent")  # type: ignore[arg-type]  # as JSON may have it
