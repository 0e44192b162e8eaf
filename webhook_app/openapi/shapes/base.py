"""What all answers share."""

from typing import Any, Literal

from pydantic import BaseModel, RootModel


class Shape(BaseModel, extra="forbid"):
    """Just these fields."""


class Error(BaseModel, extra="allow"):
    """The one form of errors. Some say more: `errors`, `allowed`, what is known."""

    status: Literal["error"]
    error: str


class Page(Shape):
    """Some rows of a list. `next` is the `cursor` of the next page, null on the last."""

    count: int
    next: str | None
    next_url: str | None


class JsonObject(RootModel[dict[str, Any]]):
    """A JSON document."""
