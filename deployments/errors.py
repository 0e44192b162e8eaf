"""Errors that a command reports in one line rather than as a fault of its own."""

from sqlalchemy.exc import DBAPIError

from deployments.demo import DemoError
from deployments.stack import StackError
from deployments.supervisor import PartFailed
from storage.channels import ChannelExistsError
from storage.database import DatabaseUrlError
from storage.redaction import redact_text
from storage.server_user import EmbeddedServerError
from storage.settings import SettingsError
from tasks.errors import PermanentError

EXPECTED = (
    ChannelExistsError,
    DatabaseUrlError,
    DemoError,
    EmbeddedServerError,
    PartFailed,
    PermanentError,
    StackError,
)
WRONG_USE = 2


def explain(error: Exception) -> tuple[str, int] | None:
    """What to say and the exit code; None for an error that nobody foresaw."""
    match error:
        case SettingsError():
            return str(error), WRONG_USE
        case DBAPIError():
            first_line = str(error.orig).partition("\n")[0]
            return f"the database cannot be used: {redact_text(first_line)}", 1
    return (str(error), 1) if isinstance(error, EXPECTED) else None
