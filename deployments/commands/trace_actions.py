"""What `watchkeeper trace` does."""

import sys

from deployments.commands.rows_output import plain_lines, print_strict_json, say
from deployments.commands.trace_lines import heading_of
from deployments.installed import installed_database
from storage.redaction import redact_text
from storage.settings import load
from storage.storable import storable_text
from storage.trail_search import PREFIX_MIN_CHARS, find_subjects
from tasks.errors import PermanentError
from webhook_app.trace_fields import trace_fields
from webhook_app.trace_story import timeline_of

MATCHES_SHOWN = 20


def trace(text: str, *, as_json: bool) -> int:
    """Print the way of what the text names. Returns the exit code: 1 where it names several."""
    settings = load()
    with installed_database(settings) as database, database.read() as session:
        found = find_subjects(session, storable_text(text.strip()), limit=MATCHES_SHOWN)
        if not found:
            raise PermanentError(
                f"there is no alert, trace, run or delivery {text!r}; "
                f"of an id the first {PREFIX_MIN_CHARS} characters will do"
            )
        if len(found) > 1:
            sys.stderr.write(f"watchkeeper: {text!r} fits several; name one of them:\n")
            say(*(redact_text(str(plain_lines(_name(each.kind, each.id, each.about)))) for each in found))
            return 1
        fields = trace_fields(session, found[0], settings)
    if as_json:
        timeline = [{"at": each.at, "what": each.what, "text": each.text} for each in timeline_of(fields)]
        print_strict_json({**fields, "timeline": timeline})
        return 0
    say(*(str(plain_lines(line)) for line in heading_of(fields)))
    for at, what, said, *_ in timeline_of(fields):
        first, *more = str(plain_lines(said)).split("\n")
        say(
            f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}Z  {what:12} {first}",
            *(f"{'':39}{line}" for line in more),
        )
    return 0


def _name(kind: str, subject_id: str, about: str) -> str:
    return f"{kind}:{subject_id} {about}" if kind == "alert" else f"{subject_id} ({kind})"
