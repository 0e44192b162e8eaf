"""The questions of `watchkeeper setup`, for a person at a terminal."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.prompt import Confirm, Prompt

from deployments.commands.check_output import plain
from deployments.commands.setup import checks as setup_checks
from deployments.commands.setup.answers import Answers
from deployments.commands.setup.situations import SITUATIONS
from deployments.errors import WrongUseError
from tasks.analyze.providers import PROVIDERS
from tasks.check.checkers import CHECKERS, DEFAULTS
from tasks.errors import PermanentError, TransientError
from tasks.ingest.sources import SOURCES
from tasks.notify.channels import CHANNELS
from tasks.notify.driver_keys import DriverKey, clear_text_paths, keys_of

# Keys without which a driver says nothing, though either of several would do.
ESSENTIAL = {"generic": ("endpoint",)}
EVERY = "5m"
LOCAL = "local"


class Questions:
    """Asks until an answer can be used. Answers that are there already, from flags, are not asked for."""

    def __init__(self, answers: Answers, console: Console) -> None:
        self._answers = answers
        self._console = console

    def preset(self, default: str) -> None:
        """Which of the six situations fits."""
        names = list(SITUATIONS)
        self._say("Which of these fits?")
        for number, situation in enumerate(SITUATIONS.values(), start=1):
            self._say(f"  {number}  {situation.words}  ({situation.name})")

        def choose(text: str) -> str:
            if text in SITUATIONS:
                return text
            if text.isdigit() and 1 <= int(text) <= len(names):
                return names[int(text) - 1]
            raise PermanentError(f"a number from 1 to {len(names)}, or a name")

        self._answers.preset = self._until_usable("Situation", default or names[0], choose)

    def checkers(self) -> None:
        """Which checkers look at this host."""
        self._say(f"Checkers: {', '.join(CHECKERS)}")
        now = self._answers.checkers_now()

        def choose(text: str) -> list[str] | None:
            if text == "default":
                return None if now is None else list(DEFAULTS)
            names = setup_checks.words_of(text)
            setup_checks.checkers(names)
            if not names:
                raise PermanentError("name one at least")
            return names

        default = "default" if now is None else ",".join(now)
        self._answers.checkers = self._until_usable("Which of them, with commas", default, choose)

    def provider(self) -> None:
        """Who analyses."""
        there = self._answers.present["providers"]
        active = next((name for name, form in there.items() if form["is_active"]), "")
        kept = there[active]["provider"] if active else LOCAL
        self._say(
            f"Analysis: {LOCAL} are rules on this machine; the others are AI providers, asked over the network."
        )
        while True:
            kind = self._ask("Provider", kept, choices=list(PROVIDERS))
            if kind == kept and (active or kind == LOCAL):
                return
            config = {} if kind == LOCAL else self._provider_config(kind)
            if self._is_usable(partial(setup_checks.provider, self._answers, kind, config)):
                self._answers.provider = (kind, config)
                return

    def channels(self) -> None:
        """Who is told."""
        if names := self._answers.active_channels:
            self._say(f"Channels: {', '.join(names)}")
        while self._confirm("Add a channel", default=not self._answers.active_channels):
            self._channel()
        if not self._answers.active_channels:
            self._refuse("without a channel nobody is told anything: `watchkeeper channels add` adds one later")

    def test_channels(self) -> None:
        """Send through what is new, and let it be corrected."""
        for name in list(self._answers.channels):
            if self._confirm(f"Send a test message through {name}", default=True):
                self._try(name)

    def every(self) -> None:
        """How often this host is checked."""
        now = self._answers.present["schedules"].get(self._answers.preset) or {}
        if "cron" in now:
            self._say(f"It runs by cron: {now['cron']} ({now['timezone']}).")
            return

        def choose(text: str) -> str:
            setup_checks.every(text)
            return text

        self._answers.every = self._until_usable("Check how often", now.get("every", EVERY), choose)

    def sources(self) -> None:
        """Which monitoring systems post."""
        there = self._answers.present["sources"]
        self._say(f"Monitoring systems: {', '.join(SOURCES)}")

        def choose(text: str) -> list[str]:
            names = setup_checks.words_of("" if text == "none" else text)
            setup_checks.sources(names)
            return names

        names = self._until_usable("Which of them will post, with commas", ",".join(there) or "none", choose)
        fresh = [name for name in names if name not in there]
        if not fresh:
            return
        self._say("Each proves itself by a token, which is made now and kept in a file of yours.")
        is_shared = (
            len(fresh) > 1 and self._ask("One token for each, or one for all", "each", ["each", "all"]) == "all"
        )
        for source in fresh:
            self._answers.add_source(source, is_shared=is_shared)

    def confirm(self, question: str, *, default: bool) -> bool:
        """A yes or no."""
        return self._confirm(question, default=default)

    def file(self, default: str, write: Callable[[str], None]) -> None:
        """Where to write something; asked again where that cannot be."""

        def choose(text: str) -> None:
            try:
                write(text)
            except WrongUseError as error:
                raise PermanentError(str(error)) from None

        self._until_usable("File", default, choose)

    def _channel(self) -> None:
        def choose(text: str) -> str:
            setup_checks.channel_name(text)
            return text

        default = None if self._answers.active_channels else "ops"
        name = self._until_usable("Its name", default, choose)
        driver = self._ask("Its kind", choices=list(CHANNELS))
        config: dict[str, Any] = {}
        while True:
            config = self._channel_config(name, driver, config)
            if self._is_usable(partial(setup_checks.channel, self._answers, name, driver, config)):
                break
            if not self._confirm("Once more", default=True):
                return
        self._answers.channels[name] = {"driver": driver, "config": config}

    def _channel_config(self, name: str, driver: str, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        config = dict(before or {})
        keys = {key.name: key for key in keys_of(driver)}
        wanted = [key.name for key in keys.values() if key.is_required or key.name in ESSENTIAL.get(driver, ())]
        for key in wanted:
            config[key] = self._channel_value(name, driver, keys[key], config.get(key))
        others = [key for key in keys if key not in config]
        self._say(f"More of its keys: {', '.join(others)}")
        while more := self._ask("Set another of them; nothing goes on", ""):
            if more in keys:
                config[more] = self._channel_value(name, driver, keys[more])
            else:
                self._refuse(f"{more!r} is none of {', '.join(keys)}")
        return config

    def _channel_value(self, name: str, driver: str, key: DriverKey, before: Any = None) -> Any:
        can_be_clear = key.name in ESSENTIAL.get(driver, ())
        if key.is_secret and not can_be_clear:
            return self._secret(f"channel-{name}-{key.name}", key.name)
        default = before if isinstance(before, str) else key.default
        text = self._ask(key.name, "" if default is None else str(default))
        if any(clear_text_paths(driver, {key.name: text})):
            self._say(f"It holds a secret, so {key.name} is kept in a file of yours.")
            return self._answers.keep_secret(f"channel-{name}-{key.name}", text)
        return setup_checks.words_of(text) if key.name.endswith("addresses") else text

    def _provider_config(self, kind: str) -> dict[str, Any]:
        config: dict[str, Any] = {}
        own = PROVIDERS[kind].defaults().get("api_key", {}).get("env", "")
        if own or kind != "ollama":
            config["api_key"] = self._secret(f"provider-{kind}-api_key", "api_key", variable=own)
        fields = PROVIDERS[kind].Config.model_fields
        for key in ("model", "base_url"):
            default = fields[key].default if key in fields and not fields[key].is_required() else ""
            value = self._ask(key, default if isinstance(default, str) else "")
            if value and value != default:
                config[key] = value
        return config

    def _secret(self, name: str, key: str, *, variable: str = "") -> dict[str, str]:
        """A reference; what is typed is not shown."""
        kind = self._ask(
            f"{key} is secret: kept in a file of yours, or in a variable",
            "env" if variable else "file",
            choices=["file", "env"],
        )
        if kind == "env":
            return {"env": self._ask("The variable's name", variable)}
        while not (value := Prompt.ask(f"{key} (not shown)", password=True, console=self._console).strip()):
            self._refuse("it must not be empty")
        return self._answers.keep_secret(name, value)

    def _try(self, name: str) -> None:
        while True:
            form = self._answers.channels[name]
            try:
                sent = setup_checks.send_through(self._answers, name, form)
            except (PermanentError, TransientError) as error:
                self._refuse(f"{name}: {error}")
            else:
                self._say(f"{name} has the message. {sent.receipt.detail}".strip())
                return
            then = self._ask("Try again, correct it, or keep it so", "again", choices=["again", "correct", "keep"])
            if then == "keep":
                return
            if then == "correct":
                config = self._channel_config(name, form["driver"], form["config"])
                if self._is_usable(partial(setup_checks.channel, self._answers, name, form["driver"], config)):
                    form["config"] = config

    def _until_usable(self, question: str, default: str | None, read: Callable[[str], Any]) -> Any:
        while True:
            try:
                return read(self._ask(question, default))
            except (PermanentError, TransientError) as error:
                self._refuse(str(error))

    def _is_usable(self, check: Callable[[], None]) -> bool:
        try:
            check()
        except (PermanentError, TransientError) as error:
            self._refuse(str(error))
            return False
        return True

    def _ask(self, question: str, default: str | None = None, choices: list[str] | None = None) -> str:
        while True:
            text = self._prompt(question, default, choices)
            if text.strip() or default == "":
                return text.strip()
            self._refuse("it must not be empty")

    def _prompt(self, question: str, default: str | None, choices: list[str] | None) -> str:
        if default is None:
            return Prompt.ask(plain(question), choices=choices, console=self._console)
        return Prompt.ask(
            plain(question), choices=choices, console=self._console, default=default, show_default=bool(default)
        )

    def _confirm(self, question: str, *, default: bool) -> bool:
        return Confirm.ask(plain(f"{question}?"), default=default, console=self._console)

    def _say(self, line: str) -> None:
        self._console.print(plain(line), soft_wrap=True)

    def _refuse(self, reason: str) -> None:
        self._console.print(plain(f"  {reason}", "yellow"), soft_wrap=True)
