import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from storage.records import Receipt
from tasks.addresses import Reach, literal, refusal
from tasks.errors import PermanentError, TransientError
from tasks.guard import refuse_host
from tasks.notify.apprise_service import load
from tasks.notify.channels.base import DriverConfig
from tasks.notify.message import Notification
from tasks.notify.reach import allowed_reach
from tasks.notify.templates import text_of
from tasks.notify.templating.reference import TemplateRef

if TYPE_CHECKING:
    from apprise.plugins.base import NotifyBase

# What an overloaded host may need to start an interpreter.
START_SECONDS = 20.0
# Of this process's at a time: each takes 50 MB.
MAX_CHILDREN = 4
TYPES = {"critical": "failure", "warning": "warning", "info": "info", "success": "success"}

# A message may wait for its turn as long as for its service: together no longer than other drivers may take.
MAX_TIMEOUT_SECONDS = 120

_turns = threading.BoundedSemaphore(MAX_CHILDREN)


def _check_url(url: SecretStr) -> SecretStr:
    spelled = literal(_host_of(load(url.get_secret_value())))
    if spelled and (refused := refusal(spelled, Reach.GUARDED)):
        raise ValueError(f"is {refused}")
    return url


def _host_of(service: "NotifyBase") -> str:
    """Where the service is, if its URL says so: in others the same place holds a part of a token."""
    return str(service.host or "") if "host" in service.template_tokens else ""


class Apprise:
    """Deliver to any of apprise's services by its URL, such as Teams, Discord, Telegram, Matrix or ntfy.

    URLs: https://appriseit.com/services/. One URL is one destination. A service says only whether it took a
    message, so every failure counts as passing, save a forbidden address. A repeat after a lost answer is a
    second message.
    """

    kind: ClassVar[str] = "apprise"
    # The strictest of the well-known ones, a Telegram group: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits
    rate_per_minute: ClassVar[float] = 20

    class Config(DriverConfig):
        """`url` is all secret: tokens stand anywhere in it. `timeout` is in seconds, for a whole delivery."""

        url: Annotated[SecretStr, AfterValidator(_check_url)]
        timeout: float = Field(default=30, gt=0, le=MAX_TIMEOUT_SECONDS)
        template: TemplateRef | None = None

    def __init__(self, config: Config) -> None:
        self.config = config

    def deliver(self, notification: Notification) -> Receipt:
        """Send the message, in a process that is over when this returns."""
        service = load(self.config.url.get_secret_value())
        name = f"apprise {service.service_name}"
        if host := _host_of(service):
            refuse_host(host, allowed_reach())
        with self._turn(name):
            outcome = self._ask(name, self.build_order(notification))
        if outcome["is_sent"]:
            return Receipt(detail=f"{name} took it")
        if outcome["refused"]:
            raise PermanentError(f"{name}: leads to {outcome['refused']}")
        said = f" (status {outcome['code']})" if outcome["code"] else ""
        raise TransientError(f"{name} did not take the message{said}")

    def build_order(self, notification: Notification) -> dict[str, Any]:
        """What the child is told; see tasks/notify/apprise_child.py."""
        return {
            "url": self.config.url.get_secret_value(),
            "title": notification.title,
            "text": text_of(self.kind, self.config.template, notification),
            "type": TYPES[notification.severity],
            "seconds": self.config.timeout,
            "reach": allowed_reach().value,
        }

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Wait for one of the processes that may run; no longer than a delivery may take."""
        if not _turns.acquire(timeout=self.config.timeout):
            said = f"was not begun within {self.config.timeout:g} s: {MAX_CHILDREN} others were being sent"
            raise TransientError(f"{name} {said}")
        try:
            yield
        finally:
            _turns.release()

    def _ask(self, name: str, order: dict[str, Any]) -> dict[str, Any]:
        late = f"{name} was not done within {self.config.timeout:g} s; it may have taken the message"
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", "tasks.notify.apprise_child"],
                input=json.dumps(order).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.config.timeout + START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:  # by then it has been killed
            raise TransientError(late) from None
        except OSError as error:
            raise TransientError(f"{name}: no process could be started: {error.strerror}") from None
        if child.returncode == -signal.SIGALRM:
            raise TransientError(late)
        try:
            return dict(json.loads(child.stdout))
        except ValueError:
            raise TransientError(f"{name}: the process ended with code {child.returncode}") from None
