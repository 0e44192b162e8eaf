"""Errors that a command reports in one line rather than as a fault of its own."""

WRONG_USE = 2
# By name, since importing them all takes a second: whoever raised one has loaded it.
EXPECTED = {
    "deployments.demo.DemoError",
    "deployments.stack.StackError",
    "deployments.supervisor.PartFailed",
    "storage.channels.ChannelExistsError",
    "flows.execution.InterruptedRunError",
    "storage.database.DatabaseUrlError",
    "storage.definitions.DefinitionExistsError",
    "storage.definitions.DefinitionNotFoundError",
    "storage.providers.ProviderExistsError",
    "storage.runs.RunNotFoundError",
    "storage.runs.RunStateError",
    "storage.server_user.EmbeddedServerError",
    "storage.transitions.IncidentNotFoundError",
    "storage.users.UserStateError",
    "tasks.errors.PermanentError",
    "tasks.errors.TransientError",
}
EXPECTED_OF_SETTINGS = "storage.settings.SettingsError"
EXPECTED_OF_DATABASE = "sqlalchemy.exc.DBAPIError"


class WrongUseError(Exception):
    """A command was given something that it cannot take; the message names it."""


def explain(error: Exception) -> tuple[str, int] | None:
    """What to say and the exit code; None for an error that nobody foresaw."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if isinstance(error, WrongUseError) or EXPECTED_OF_SETTINGS in names:
        return str(error), WRONG_USE
    if EXPECTED_OF_DATABASE in names:
        return _explain_database(error), 1
    return (str(error), 1) if names & EXPECTED else None


def _explain_database(error: Exception) -> str:
    from storage.redaction import redact_text  # noqa: PLC0415  (needed by few failures)

    first_line = str(getattr(error, "orig", error)).partition("\n")[0]
    return f"the database cannot be used: {redact_text(first_line)}"
