"""Errors that a command reports in a line rather than as a fault of its own."""

from deployments.demo import DemoError
from deployments.stack import StackError
from deployments.supervisor import PartFailed
from storage.channels import ChannelExistsError
from storage.database import DatabaseUrlError
from storage.server_user import EmbeddedServerError
from tasks.errors import PermanentError

EXPECTED = (
    DemoError,
    StackError,
    PartFailed,
    EmbeddedServerError,
    DatabaseUrlError,
    ChannelExistsError,
    PermanentError,
)
