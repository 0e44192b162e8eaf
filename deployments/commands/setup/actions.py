"""What `watchkeeper setup` does: ask, try, show, apply, and say what is left to do."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from deployments.commands.apply_actions import Options, apply_sections, say_faults, write_file
from deployments.commands.applying import doing
from deployments.commands.applying.difference import Sections, read_document
from deployments.commands.applying.exporting import as_yaml
from deployments.commands.applying.faults import DocumentError
from deployments.commands.applying.reading import read_file
from deployments.commands.check_output import plain, print_lines
from deployments.commands.saved_config import read_config
from deployments.commands.setup import checks as setup_checks
from deployments.commands.setup import hints as setup_hints
from deployments.commands.setup.answers import MONITORS, Answers
from deployments.commands.setup.questions import EVERY, Questions
from deployments.commands.setup.situations import SITUATIONS
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage.settings import load
from tasks.errors import PermanentError, TransientError
from tasks.notify.driver_keys import clear_text_paths

FILE = "watchkeeper.yaml"
FLAGS = "--preset, --checkers, --provider, --channel, --every, --source; or --file"


@dataclass(frozen=True)
class Given:
    """What flags said."""

    preset: str = ""
    checkers: str = ""
    provider: str = ""
    provider_config: str = "{}"
    channels: list[str] = field(default_factory=list)
    every: str = ""
    sources: list[str] = field(default_factory=list)
    test: bool = False
    write: str = ""
    is_silent: bool = False


def set_up(given: Given) -> int:
    """Ask for what no flag says, and apply it all. Raises WrongUseError naming a flag."""
    if not given.is_silent and not sys.stdin.isatty():
        raise WrongUseError(f"standard input is no terminal, so nothing can be asked: give --yes with {FLAGS}")
    answers = Answers(load(), _present())
    if given.is_silent:
        _take(answers, given, preset=given.preset or _preset_now(answers.present))
        _refuse_missing(answers)
    else:
        try:
            _ask(answers, given)
        except (EOFError, KeyboardInterrupt):  # Ctrl-D, Ctrl-C, or a last "no"
            sys.stderr.write("\nnothing was changed\n")
            raise KeyboardInterrupt from None
    return _apply(answers, write=given.write)


def set_up_by_file(file: str, given: Given) -> int:
    """Apply a file, and say what is left to do. Raises WrongUseError where flags say something else."""
    if given != Given(is_silent=given.is_silent):
        raise WrongUseError("--file: takes everything from the file, so it goes with no flag but --yes")
    try:
        code = apply_sections(read_document(read_file(file)), Options())
    except DocumentError as error:
        return say_faults(file, error, as_json=False)
    present = _present()
    if preset := _preset_now(present):
        _say_next(preset, present)
    return code


def _present() -> Sections:
    with installed_database(load()) as database, database.read() as session:
        return doing.present(session)


def _preset_now(present: Sections) -> str:
    """What an earlier set-up chose; empty where there was none."""
    monitor = next((name for name in MONITORS if present["schedules"].get(name)), "")
    default = present["routes"]["routes"]["default"]
    return monitor or (default if default in SITUATIONS else "")


def _take(answers: Answers, given: Given, *, preset: str) -> None:
    """What flags say. Raises WrongUseError naming the flag."""
    if not preset:
        raise WrongUseError(f"--preset: missing; one of {', '.join(SITUATIONS)}")
    with _named("--preset"):
        if preset not in SITUATIONS:
            raise PermanentError(f"{preset!r} is none of {', '.join(SITUATIONS)}")
        answers.preset = preset
    _refuse_needless(answers, given)
    _take_parts(answers, given)
    if not answers.situation.takes_webhooks:
        with _named("--every"):
            _take_every(answers, given.every)
    with _named("--source"):
        setup_checks.sources(given.sources)
    for source in given.sources:
        if source not in answers.present["sources"]:
            answers.add_source(source, is_shared=False)
    if given.test:
        for name, form in answers.channels.items():
            _try(answers, name, form)


def _refuse_needless(answers: Answers, given: Given) -> None:
    """What would be given for nothing, or change what the situation does not use. Raises WrongUseError."""
    situation = answers.situation
    for flag, is_given, is_of_use in (
        ("--checkers", given.checkers, situation.checks),
        ("--provider", given.provider, situation.analyses),
        ("--every", given.every, not situation.takes_webhooks),
        ("--source", given.sources, situation.takes_webhooks),
    ):
        if is_given and not is_of_use:
            raise WrongUseError(f"{flag}: {situation.name} has no use for it")


def _try(answers: Answers, name: str, form: Mapping[str, Any]) -> None:
    try:
        setup_checks.send_through(answers, name, form)
    except (PermanentError, TransientError) as error:
        raise PermanentError(f"channel {name}: {error}; nothing was changed") from None


def _take_parts(answers: Answers, given: Given) -> None:
    if given.checkers:
        with _named("--checkers"):
            answers.checkers = setup_checks.words_of(given.checkers)
            setup_checks.checkers(answers.checkers)
    if given.provider:
        with _named("--provider"):
            config = read_config(given.provider_config)
            setup_checks.provider(answers, given.provider, config)
            answers.provider = (given.provider, config)
    for text in given.channels:
        with _named("--channel"):
            _take_channel(answers, text)


def _take_every(answers: Answers, every: str) -> None:
    held = answers.present["schedules"].get(answers.preset) or {}
    answers.every = every or held.get("every", "" if held else EVERY)  # one by cron stays
    if answers.every:
        setup_checks.every(answers.every)


def _take_channel(answers: Answers, text: str) -> None:
    name, _, rest = text.partition("=")
    driver, _, json_text = rest.partition(":")
    if not (name and driver):
        raise PermanentError(f"{name!r} must be NAME=DRIVER:JSON")
    config = read_config(json_text or "{}")
    if clear := next(clear_text_paths(driver, config), None):
        raise PermanentError(f'{name}: {".".join(clear)} is a secret: give a reference, {{"env": "NAME"}}')
    setup_checks.channel(answers, name, driver, config)
    answers.channels[name] = {"driver": driver, "config": config}


def _refuse_missing(answers: Answers) -> None:
    if not answers.active_channels:
        raise WrongUseError("--channel: missing; without one nobody is told anything")


def _ask(answers: Answers, given: Given) -> None:
    console = Console()
    questions = Questions(answers, console)
    if given.preset:
        answers.preset = given.preset
    else:
        questions.preset(_preset_now(answers.present))
    _take(answers, given, preset=answers.preset)
    for ask, is_wanted in _questions(questions, answers, given):
        if is_wanted:
            ask()
    if document := answers.document():
        console.print(as_yaml(document), markup=False, highlight=False, soft_wrap=True)
        if not questions.confirm("Apply this", default=True):
            raise KeyboardInterrupt
        if not given.write and questions.confirm("Write it to a file as well", default=False):
            questions.file(FILE, lambda output: write_file(output, as_yaml(document), flag="File"))


def _questions(questions: Questions, answers: Answers, given: Given) -> Iterator[tuple[Callable[[], None], bool]]:
    """Each question, and whether it belongs to the situation and no flag answers it."""
    situation = answers.situation
    yield questions.checkers, situation.checks and not given.checkers
    yield questions.provider, situation.analyses and not given.provider
    yield questions.channels, not given.channels
    yield questions.test_channels, not given.test
    yield questions.every, not situation.takes_webhooks and not given.every
    yield questions.sources, situation.takes_webhooks and not given.sources


def _apply(answers: Answers, *, write: str) -> int:
    document = answers.document()
    if not document:
        print_lines(["nothing to change: everything is set up so already"])
    else:
        if write:
            write_file(write, as_yaml(document), flag="--write")
        with _written(answers.secret_files_of(document)):
            try:
                apply_sections(read_document(document), Options())
            except DocumentError as error:
                raise PermanentError("; ".join(error.faults)) from None
    _say_next(answers.preset, _present())
    return 0


def _say_next(preset: str, present: Sections) -> None:
    settings, situation = load(), SITUATIONS[preset]
    if situation.takes_webhooks:
        setup_hints.fill_ready_files(settings, list(present["sources"]))
    # Unbroken, since paths and URLs are copied from there.
    told = [plain(line) for line in ("", *setup_hints.lines(settings, situation, present))]
    Console(highlight=False).print(*told, sep="\n", soft_wrap=True)


@contextmanager
def _written(secret_files: Mapping[Path, str]) -> Iterator[None]:
    """The secrets in their files; taken back where what follows fails."""
    before = {path: path.read_bytes() if path.exists() else None for path in secret_files}
    try:
        for path, value in secret_files.items():
            _write_secret(path, value.encode())
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                _write_secret(path, content)
        raise


def _write_secret(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_bytes(content)
    except OSError as error:
        raise PermanentError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _named(flag: str) -> Iterator[None]:
    try:
        yield
    except (PermanentError, TransientError) as error:
        raise WrongUseError(f"{flag}: {error}") from None
