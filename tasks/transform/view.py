"""A node's output as transform nodes, conditions and templates see it: what is stored, and the seeds' fields."""

from collections.abc import Mapping
from typing import Any

from storage.vocabulary import CheckStatus, Stage

Output = Mapping[str, Any]
_FROM_WORST = sorted(CheckStatus, key=lambda status: -status.rank)


def view_of(output: Output) -> dict[str, Any]:
    """The stored output, with `has_errors`: whether it lists errors.

    A context node's has `status`, the worst of its checks', and `results` by checker. An intelligence node's has
    the `summary`, `probable_cause`, `confidence`, `provider` and `model_name` of the gravest incident, and the
    `recommendations` of all. A skipped node's holds `skipped`, the reason.
    """
    fields: dict[str, Any] = {}
    if output.get("stage") == Stage.CHECK:
        fields = _check_fields(output)
    elif output.get("stage") == Stage.ANALYZE:
        fields = _analysis_fields(output)
    return {**output, **fields, "has_errors": bool(output.get("errors"))}


def view_of_failure(message: str) -> dict[str, Any]:
    """What stands for the output of a node that failed for good."""
    return {"failed": message, "errors": [message], "has_errors": True}


def _check_fields(output: Output) -> dict[str, Any]:
    results = {str(check.get("checker_name")): check for check in _objects(output.get("checks"))}
    found = {str(check.get("status")) for check in results.values()}
    return {"results": results, "status": next((each for each in _FROM_WORST if each in found), None)}


def _analysis_fields(output: Output) -> dict[str, Any]:
    stored = _objects(output.get("analyses"))  # the gravest incident's first
    analyses = [analysis for each in stored for analysis in _objects([each.get("analysis")])]
    first = analyses[0] if analyses else {}
    return {
        **{key: first.get(key) for key in ("summary", "probable_cause", "confidence", "model_name")},
        "provider": stored[0].get("provider") if stored else None,
        "recommendations": [
            advice for analysis in analyses for advice in _objects(analysis.get("recommendations"))
        ],
    }


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
