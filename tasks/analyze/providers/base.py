"""What every provider offers."""

from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from storage.records import Analysis
from tasks.analyze.request import AnalysisRequest


class ProviderSettings(BaseModel):
    """Where every provider's Config starts: unknown keys are refused, errors do not quote what was given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Provider(Protocol):
    """Answers what is probably wrong. What it raises is permanent or transient as in tasks/errors.py.

    Named as a base by every provider: only so does mypy take a nested class for `Config`.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[ProviderSettings]]

    def __init__(self, config: Any) -> None:
        """A provider that will answer by this config."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """What is put where a config leaves it out, before references are resolved."""
        return {}

    def analyze(self, request: AnalysisRequest) -> Analysis:
        """The probable cause and next steps."""
