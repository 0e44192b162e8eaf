"""The process that renders templates for another (renderer.py), one at a time, until that other is gone.

Jinja's sandbox keeps a template away from Python's insides, but not from time and memory: `{{ 'a' * 200000000 }}`
takes hundreds of MB, and loops within loops run for ever. So the kernel holds this process to bounds, and ends it.
It is run by its path and imports nothing of ours: it stays small, and is the one beside the code that started it.
"""

import json
import os
import re
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from jinja2 import ChainableUndefined, Environment, FunctionLoader, Template, TemplateNotFound, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

# Of one rendering. A wall clock too, since a process may be held up without using the processor.
MAX_CPU_SECONDS = 1.0
MAX_SECONDS = 2.0
# What the process may take beyond what it has when it starts. Linux keeps to it, macOS does not.
MAX_MEMORY_BYTES = 64 * 1024 * 1024
MAX_OUTPUT_CHARS = 256 * 1024
MAX_TEMPLATE_CHARS = 64 * 1024
MAX_NAME_CHARS = 200
MAX_OPEN_FILES = 16
# Compiled ones that are kept.
KEPT_TEMPLATES = 16

LENGTH = struct.Struct(">Q")  # goes before an order and an answer, in bytes; as in tasks/check/pipes.py

VARIABLES = frozenset(
    {"title", "message", "severity", "channel", "reason", "tags", "links", "context", "incident", "outputs"}
)
# What a template has at certain places only.
_PLACED = frozenset({"loop", "self", "super", "caller", "varargs", "kwargs"})
# What a template without any Jinja may name as in Python's format strings, {title}; all of them plain texts.
_FORMAT_NAMES = re.compile(r"\{(title|message|severity|channel|reason)\}")
_JINJA_MARKS = ("{{", "{%", "{#")


class UnusableError(Exception):
    """A template that cannot be used; the message says why, in a few words."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates. A forbidden attribute ends a template, rather than print as nothing."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Refuse it."""
        raise SecurityError(f"the attribute {attribute!r} of a {type(obj).__name__} is out of bounds")


# Both with the context, so that constants too are treated when they are printed, not escaped as HTML before.
@pass_context
def plain_finalize(context: Context, value: Any) -> Any:
    """What a value prints as in text and HTML: None as nothing."""
    del context
    return "" if value is None else value


@pass_context
def json_finalize(context: Context, value: Any) -> Any:
    """What a value prints as in JSON: a text as the inside of a JSON string, everything else as JSON."""
    del context
    if isinstance(value, Undefined):
        return Markup("")
    if hasattr(value, "__html__"):  # what |tojson or a macro has made
        return value
    dumped = _dumps(value)
    return Markup(dumped[1:-1] if isinstance(value, str) else dumped)  # noqa: S704  (JSON, not HTML)


FINALIZE: Mapping[str, Callable[..., Any]] = {
    "text": plain_finalize,
    "html": plain_finalize,
    "payload": json_finalize,
}


@lru_cache(maxsize=8)
def environment(mode: str, folder: str) -> Environment:
    """The sandbox for text, html or payload, with the templates of a folder to include.

    A missing entry of a mapping prints as nothing, since no alert has every label.
    """
    made = Sandbox(
        autoescape=mode != "text",
        undefined=ChainableUndefined,
        finalize=FINALIZE[mode],
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: _included(Path(folder), name)),
        cache_size=KEPT_TEMPLATES,
    )
    del made.globals["lipsum"]
    made.policies["json.dumps_function"] = _dumps
    return made


def check_name(name: str) -> str:
    """The name of a template file, which cannot lead out of its folder. Raises ValueError."""
    parts = PurePosixPath(name).parts
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable() or "\\" in name:
        raise ValueError("not the name of a template file")
    if PurePosixPath(name).is_absolute() or ".." in parts or name.startswith("~"):
        raise ValueError("a template file must lie in the folder of templates")
    return name


def read_template(folder: Path, name: str) -> str:
    """The text of a template file, wherever links lead within the folder. Raises UnusableError."""
    try:
        path = (folder / check_name(name)).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            raise UnusableError("it lies outside of the folder of templates")
        if not path.is_file():
            raise UnusableError("it is not a file")
        if path.stat().st_size > MAX_TEMPLATE_CHARS:
            raise UnusableError(f"it is larger than {MAX_TEMPLATE_CHARS // 1024} KB")
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UnusableError("there is no such file in the folder of templates") from None
    except UnicodeError:
        raise UnusableError("it is not UTF-8 text") from None
    except (OSError, RuntimeError) as error:  # the latter for links that lead in circles
        raise UnusableError(f"it cannot be read ({getattr(error, 'strerror', None) or 'a link'})") from None
    except ValueError as error:
        raise UnusableError(str(error)) from None


def as_jinja(source: str) -> str:
    """The template as Jinja: one without any of Jinja's marks may say {title}, as in Python's format strings."""
    has_marks = any(mark in source for mark in _JINJA_MARKS)
    return source if has_marks else _FORMAT_NAMES.sub(r"{{ \1 }}", source)


def check_source(source: str) -> None:
    """Refuse what can be seen to be wrong without running it. Raises UnusableError that names the line.

    Nothing is compiled: Jinja computes constants when it compiles, also those of 200 MB.
    """
    made = environment("text", "")
    try:
        tree = made.parse(as_jinja(source))
        for line, fault in sorted(_faults(tree, made)):
            raise UnusableError(f"line {line}: {fault}")
    except TemplateSyntaxError as error:
        raise UnusableError(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise UnusableError("it is nested too deeply") from None


def render(mode: str, source: str, folder: str, values: Mapping[str, Any]) -> str:
    """What a template gives. Raises UnusableError, and whatever a template can raise."""
    parts, chars = [], 0
    for part in _compiled(environment(mode, folder), source).generate(values):
        parts.append(part)
        chars += len(part)
        if chars > MAX_OUTPUT_CHARS:
            raise UnusableError(f"it gives more than {MAX_OUTPUT_CHARS // 1024} K characters")
    return "".join(parts)


@lru_cache(maxsize=KEPT_TEMPLATES)
def _compiled(made: Environment, source: str) -> Template:
    check_source(source)
    return made.from_string(as_jinja(source))


def _faults(tree: nodes.Template, made: Environment) -> Iterator[tuple[int, str]]:
    """Unknown filters, tests and variables, each with its line."""
    known = VARIABLES | _PLACED | made.globals.keys() | set(_given_names(tree))
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Name)):
        if isinstance(node, nodes.Filter) and node.name not in made.filters:
            yield node.lineno, f"there is no filter {node.name!r}"
        if isinstance(node, nodes.Test) and node.name not in made.tests:
            yield node.lineno, f"there is no test {node.name!r}"
        if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in known:
            yield node.lineno, f"there is no variable {node.name!r}"


def _given_names(tree: nodes.Template) -> Iterator[str]:
    """The names that a template gives to things itself, anywhere."""
    for node in tree.find_all((nodes.Name, nodes.Macro, nodes.Import, nodes.FromImport)):
        if isinstance(node, nodes.Name) and node.ctx != "load":
            yield node.name
        if isinstance(node, nodes.Macro):
            yield node.name
        if isinstance(node, nodes.Import):
            yield node.target
        if isinstance(node, nodes.FromImport):
            yield from (name if isinstance(name, str) else name[1] for name in node.names)


def _included(folder: Path, name: str) -> tuple[str, str, Callable[[], bool]]:
    try:
        source = read_template(folder, name)
    except UnusableError as error:
        raise TemplateNotFound(name, f"{name}: {error}") from None
    return source, name, lambda: _is_unchanged(folder, name, source)


def _is_unchanged(folder: Path, name: str, source: str) -> bool:
    try:
        return read_template(folder, name) == source
    except UnusableError:
        return False


def _nothing(value: Any) -> None:
    if not isinstance(value, Undefined):
        raise TypeError(f"a {type(value).__name__} is not JSON")


_dumps = partial(json.dumps, default=_nothing)


def main() -> None:
    """Take orders from standard input and answer on standard output, both the one socket of our parent."""
    _hold_to_bounds()
    _answer({})  # ready
    while head := sys.stdin.buffer.read(LENGTH.size):
        order = sys.stdin.buffer.read(LENGTH.unpack(head)[0])
        _start_clocks(MAX_CPU_SECONDS, MAX_SECONDS)
        try:
            answer = _obey(order)
        except MemoryError:
            answer = {"exhausted": f"it took more than {MAX_MEMORY_BYTES // 1024**2} MB of memory"}
        _start_clocks(0, 0)
        _answer(answer)
        if "exhausted" in answer:  # what is left of the memory is in pieces
            return


def _obey(order: bytes) -> dict[str, str]:
    try:
        return {"output": render(**json.loads(order))}
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (the edge: a template can raise what it likes)
        return {"error": _told(error)}


def _told(error: Exception) -> str:
    if isinstance(error, UnusableError):
        return str(error)
    if isinstance(error, TemplateSyntaxError):
        place, said = f"{error.name}, " if error.name else "", error.message
        return f"{place}line {error.lineno}: {said}"
    said = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return f"{_place(error)}{said}"


def _place(error: Exception) -> str:
    """The line that the error comes from, as Jinja traces it, and the file where that is an included one."""
    places, trace = [""], error.__traceback__
    while trace:
        name = trace.tb_frame.f_code.co_filename
        if trace.tb_frame.f_globals.get("__jinja_template__") or name == "<template>":
            places.append(("" if name == "<template>" else f"{name}, ") + f"line {trace.tb_lineno}: ")
        trace = trace.tb_next
    return places[-1]


def _hold_to_bounds() -> None:
    for name in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(name, signal.SIG_DFL)  # ends the process, also in the middle of C code
    with suppress(OSError, ValueError):  # where there is no /proc, or where the system has no such bound
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + MAX_MEMORY_BYTES)
    bounds = {
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in bounds.items():
        with suppress(OSError, ValueError):
            _bound(kind, most)


def _bound(kind: int, most: int) -> None:
    resource.setrlimit(kind, (most, most))


def _start_clocks(cpu_seconds: float, seconds: float) -> None:
    """For one rendering, to parts of a second; RLIMIT_CPU counts whole seconds of a process's whole life."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(answer: Mapping[str, str]) -> None:
    # Surrogates cannot be written as UTF-8, but as JSON's escapes.
    content = json.dumps(answer).encode()
    left = memoryview(LENGTH.pack(len(content)) + content)
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
