"""A destination that refuses what is about certain alerts."""

import json

from sinks import Answer, HttpSink, ReceivedRequest


class MoodySink(HttpSink):
    """Refuses each message whose title holds one of the words in `refused`; an empty one is in every title."""

    def __init__(self, *, delay_seconds: float = 0.0, refusal: int = 503) -> None:
        super().__init__(default=Answer(delay_seconds=delay_seconds))
        self.refused: set[str] = set()
        self._refusal = refusal

    def take(self, request: ReceivedRequest) -> Answer:
        answer = super().take(request)
        title = json.loads(request.body)["title"]
        return Answer(self._refusal) if any(word in title for word in self.refused) else answer

    def about(self, name: str) -> list[ReceivedRequest]:
        """The requests about an alert."""
        return [request for request in self.requests if name in json.loads(request.body)["title"]]
