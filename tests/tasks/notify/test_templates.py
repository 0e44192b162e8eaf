import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from ended import is_gone
from pydantic import ValidationError

from tasks.errors import faults_of
from tasks.notify import templates
from tasks.notify.channels.base import DriverConfig
from tasks.notify.message import MAX_MESSAGE_CHARS, Notification
from tasks.notify.templates import TemplateRef, body_of, html_of, text_of
from tasks.notify.templating import renderer as renderer_module
from tasks.notify.templating.renderer import Renderer
from tasks.notify.templating.sandbox import VARIABLES
from tasks.notify.templating.variables import variables_of

NASTY = '"}, <b>&\\ {{ 7*7 }} <!channel>'
ANALYSIS = {"summary": "Logs grew.", "probable_cause": "logrotate", "recommendations": [{"title": "Rotate"}]}
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS keeps no process to a size")


class Config(DriverConfig):
    template: TemplateRef | None = None


@pytest.fixture(autouse=True)
def renderer(monkeypatch):
    """A renderer of the test's own, so that none meets a process or a rest that another left."""
    own = Renderer()
    monkeypatch.setattr(templates, "renderer", own)
    yield own
    own.close()


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    made = tmp_path / "templates"
    made.mkdir()
    monkeypatch.setenv("WATCHKEEPER_TEMPLATES", str(made))
    return made


def notification(**changes):
    context = {
        "incident": {"id": 7, "title": "Disk full", "resolved_at": None},
        "alerts": [{"name": "DiskFull", "labels": {"mount": "/var"}}],
        "checks": [{"checker_name": "disk", "message": "97 % of /var", "metrics": {"used_percent": 97.2}}],
        "analysis": {"analysis": ANALYSIS},
        "links": {"Runbook": "https://wiki.example/disk", "Source": "javascript:alert(1)"},
        "trace_id": "t-1",
    }
    fields = {
        "reason": "firing",
        "title": "[FIRING] critical: DiskFull",
        "message": "The built-in text.",
        "severity": "critical",
        "channel": "ops",
        "tags": {"host": "db-03"},
        "context": context,
        "idempotency_key": "9f1c",
    }
    return Notification(**(fields | changes))


def text(template, **changes):
    return text_of("slack", template, notification(**changes))


def payload_of(kind, template, notification):
    return body_of(kind, payload_template=template, template=None, notification=notification).payload


def pid_of(renderer):
    return renderer._child.process.pid


def faults(template):
    with pytest.raises(ValidationError) as caught:
        Config(template=template)
    return faults_of(caught.value)


def test_without_a_template_the_built_in_text_goes_out_and_nothing_is_started(renderer):
    assert text(None) == "The built-in text."
    assert html_of("email", None, notification()) is None
    assert payload_of("slack", None, notification()) is None
    assert renderer._child is None


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ severity }}|{{ reason }}|{{ channel }}|{{ tags.host }}", "critical|firing|ops|db-03"),
        ("{{ incident.id }} {{ incident.title }} {{ context.trace_id }}", "7 Disk full t-1"),
        ("{{ incident.metrics.disk.used_percent }}: {{ incident.summaries.disk }}", "97.2: 97 % of /var"),
        ("{{ incident.summary }} {{ incident.probable_cause }}", "Logs grew. logrotate"),
        ("{% for each in incident.recommendations %}\n- {{ each.title }}\n{% endfor %}", "- Rotate"),
        ("{% for each in incident.alerts %}{{ each.labels.mount }}{% endfor %}", "/var"),
        ("{{ links }}", "{'Runbook': 'https://wiki.example/disk'}"),
        ("at {{ tags.rack }}{{ tags.a.b }}{{ incident.resolved_at }}{{ none }}.", "at ."),
        ("{title} is {severity}, {other} stays", "[FIRING] critical: DiskFull is critical, {other} stays"),
        ({"type": "inline", "template": "file:{{ title }}"}, "file:[FIRING] critical: DiskFull"),
    ],
    ids=["plain", "incident", "checks", "analysis", "advice", "alerts", "links", "missing", "format", "inline"],
)
def test_a_template_says_it_in_the_operators_words(template, said):
    assert text(template) == said


def test_a_stand_in_says_for_whom_it_stands_in_whatever_the_template():
    told = {"tags": {"instead_of": "ops"}}

    assert text("{{ severity }}", **told) == "Channel ops could not be told, so this one is.\n\ncritical"
    assert html_of("email", "<b>x</b>", notification(**told)).startswith("<p>Channel ops could not be told")


def test_every_variable_is_known_and_every_known_one_is_there():
    assert variables_of(notification()).keys() == VARIABLES
    assert variables_of(notification(context={"analysis": 1, "checks": "x", "links": []})).keys() == VARIABLES


def test_what_stands_in_an_alert_is_data_and_never_a_template():
    assert text("{{ tags.x }} {{ title }}", tags={"x": "{{ 7*7 }}{% bad"}, title="{{ 1/0 }}") == (
        "{{ 7*7 }}{% bad {{ 1/0 }}"
    )


def test_a_text_is_cleaned_and_bounded():
    said = text("{{ message * 3 }}", message="a\x00\u202e" + "b" * MAX_MESSAGE_CHARS)

    assert len(said) <= MAX_MESSAGE_CHARS
    assert said.startswith("a  bbb")
    assert said.endswith("characters]")


# --- files ---


@pytest.mark.parametrize(
    "reference", ["file:on_call.j2", {"type": "file", "template": "on_call.j2"}], ids=["text", "object"]
)
def test_a_file_is_named_in_either_way_and_read_anew_when_it_changes(folder, reference):
    (folder / "on_call.j2").write_text("first {{ title }}")
    first = text(reference)
    (folder / "on_call.j2").write_text("other {{ title }}")

    assert (first, text(reference)) == ("first [FIRING] critical: DiskFull", "other [FIRING] critical: DiskFull")


def test_the_drivers_own_files_are_found_in_the_seeds_order(folder):
    (folder / "slack.j2").write_text("general")
    (folder / "slack_html.j2").write_text("<p>{{ severity }}")
    (folder / "slack_payload.j2").write_text('{"text": "{{ severity }}"}')
    general = text(None)
    (folder / "slack_text.j2").write_text("particular")

    assert (general, text(None), text("its own")) == ("general", "particular", "its own")
    assert html_of("slack", None, notification()) == "<p>critical"
    assert payload_of("slack", None, notification()) == {"text": "critical"}
    assert text_of("email", None, notification()) == "The built-in text."


def test_templates_include_extend_and_import_within_their_folder(folder):
    (folder / "parts").mkdir()
    (folder / "parts/base.j2").write_text("{% block body %}{% endblock %}, signed {% include 'parts/name.j2' %}")
    (folder / "parts/name.j2").write_text("{{ channel }}")
    (folder / "parts/macros.j2").write_text("{% macro loud(word) %}{{ word|upper }}!{% endmacro %}")

    said = text(
        "{% extends 'parts/base.j2' %}{% from 'parts/macros.j2' import loud %}"
        "{% block body %}{{ loud(severity) }}{% endblock %}"
    )

    assert said == "CRITICAL!, signed ops"


@pytest.mark.parametrize(
    "tag", ["{% include NAME %}", "{% extends NAME %}", "{% import NAME as it %}", "{% from NAME import it %}"]
)
@pytest.mark.parametrize("name", ["../secret", "link.j2", "/etc/hostname", "parts/../../secret"])
def test_nothing_outside_of_the_folder_is_read(folder, tag, name):
    (folder.parent / "secret").write_text("hunter2 {{ it }}")
    (folder / "link.j2").symlink_to(folder.parent / "secret")

    said = text(tag.replace("NAME", repr(name)))

    assert "hunter2" not in said
    assert said.startswith("(The text template of the channel could not be used: line 1: ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.j2", "there is no such file in the folder of templates"),
        ("link.j2", "it lies outside of the folder of templates"),
        ("folder.j2", "it is not a file"),
        ("pipe.j2", "it is not a file"),
        ("circle.j2", "it cannot be read (a link)"),
        ("large.j2", "it is larger than 64 KB"),
        ("latin.j2", "it is not UTF-8 text"),
        ("wrong.j2", "line 2: unexpected '}'"),
    ],
    ids=lambda value: value.removesuffix(".j2") if value.endswith(".j2") else "",
)
def test_a_file_that_cannot_be_used_gives_the_built_in_text_and_says_so(folder, caplog, name, reason):
    (folder.parent / "secret").write_text("hunter2")
    (folder / "link.j2").symlink_to(folder.parent / "secret")
    (folder / "folder.j2").mkdir()
    os.mkfifo(folder / "pipe.j2")
    (folder / "circle.j2").symlink_to("circle.j2")
    (folder / "large.j2").write_text("a" * 70_000)
    (folder / "latin.j2").write_bytes(b"\xe9")
    (folder / "wrong.j2").write_text("\n{{ title }")

    said = text(f"file:{name}")

    note = f"(The text template {name} could not be used: {reason}; this is the built-in text.)"
    assert said == f"{note}\n\nThe built-in text."
    [record] = caplog.records
    assert (record.template, record.error, record.trace_id, record.channel) == (name, reason, "t-1", "ops")


def test_what_is_said_of_a_failure_is_one_short_line_without_secrets():
    said = text(
        "{{ context[message] + 1 }}{{ (message * 50)|int(base=message) }}", message="a\npassword=hunter2 " * 9
    )

    note, _, rest = said.partition("\n\n")
    assert len(note) < 350
    assert rest.startswith("a\npassword")
    assert "hunter2" not in note


# --- what is refused when a channel is saved ---


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("ok\n{% if title %}", "template: line 2: Unexpected end of template."),
        ("{{ title|shout }}", "template: line 1: there is no filter 'shout'"),
        ("{{ title is loud }}", "template: line 1: there is no test 'loud'"),
        ("ok\n\n{{ titel }}", "template: line 3: there is no variable 'titel'"),
        ("{{ " + "(" * 5_000, "template: it is nested too deeply"),
        ("{{ " + "1+" * 3_000 + "1 }}", "template: it is nested too deeply"),
        ("a" * 70_000, "template: must not be longer than 65,536 characters"),
        ("file:../secret", "template: a template file must lie in the folder of templates"),
        ("file:/etc/passwd", "template: a template file must lie in the folder of templates"),
        ("file:~/x", "template: a template file must lie in the folder of templates"),
        ("file:", "template: not the name of a template file"),
        ("file:a\x00", "template: not the name of a template file"),
        ({"type": "url", "template": "x"}, "template: type must be file or inline"),
        ({"type": "file", "name": "x"}, 'template: must be {"type": "file" or "inline", "template": …}'),
        (7, "template: must be a template, file:NAME, or an object with type and template"),
    ],
    ids=range(15),
)
def test_what_can_never_work_is_refused_when_it_is_saved(template, fault):
    assert faults(template).startswith(fault)


@pytest.mark.parametrize(
    "template",
    [
        "{% set x = 1 %}{% for k, v in tags.items() %}{{ loop.index }}{{ k }}{{ x }}{% endfor %}",
        "{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call(b) m(1) %}{{ b }}{% endcall %}",
        "{% import 'x' as x %}{% from 'y' import y as z %}{{ x.a }}{{ z }}{% with q = 1 %}{{ q }}{% endwith %}",
        "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ range(3)|list }}{{ dict(a=1) }}",
        "file:comes_later.j2",
        "{'json': '{title}'}",
    ],
    ids=range(6),
)
def test_what_can_work_is_saved(template):
    assert Config(template=template).template == template


def test_saving_runs_nothing():
    process = psutil.Process()
    before = process.memory_info().rss

    Config(template="{{ 'a' * 200000000 }}{{ 'a'|center(200000000) }}")

    assert process.memory_info().rss - before < 50_000_000


# --- bounds ---


@pytest.mark.parametrize(
    "bomb",
    [
        "{{ 'a' * 200000000 }}",
        "{{ 'a'|center(200000000) }}",
        "{{ '%0200000000d'|format(1) }}",
        "{{ '{:0200000000d}'.format(1) }}",
        "{% set x = namespace(a='aa') %}{% for i in range(64) %}{% set x.a = x.a ~ x.a %}{% endfor %}{{ x.a }}",
        "{{ ([message] * 50000000)|join }}",
        "{{ range(99999)|map('center', 99999)|list }}",
    ],
    ids=["times", "center", "percent", "format", "doubling", "join", "list"],
)
@on_linux
def test_a_template_that_takes_memory_is_ended_and_costs_us_none(renderer, bomb):
    process = psutil.Process()
    before = process.memory_info().rss
    text("warm")
    child = pid_of(renderer)

    said = text(bomb)

    assert said.endswith("it took more than 64 MB of memory; this is the built-in text.)\n\nThe built-in text.")
    assert process.memory_info().rss - before < 30_000_000
    assert is_gone(child)
    assert text("{{ severity }}") == "critical"


def test_a_template_without_end_is_ended_once_and_then_left_alone():
    started = time.monotonic()
    first = text(LOOP)
    took = time.monotonic() - started
    with ThreadPoolExecutor(8) as threads:
        others = list(threads.map(text, [LOOP] * 50))
    took_others = time.monotonic() - started - took

    assert "could not be used: it took " in first
    assert took < 5
    assert {"after 10 minutes" in other for other in others} == {True}
    assert took_others < 5
    assert text("{{ severity }}") == "critical"


def test_a_template_that_gives_too_much_is_cut_off_and_the_process_stays(renderer):
    text("warm")
    child = pid_of(renderer)

    said = text("{% for i in range(90000) %}{{ message }}{% endfor %}")

    assert "it gives more than 256 K characters" in said
    assert said.endswith("The built-in text.")
    assert pid_of(renderer) == child


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ().__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ()['__class__'] }}",
        "{{ ()|attr('__class__') }}",
        "{{ [()]|map(attribute='__class__')|list }}",
        "{{ '{0.__class__}'.format(()) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ ('{0.__class__}'|attr('format'))(()) }}",
        "{{ range.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ tags.update({'a': 1}) }}",
        "{{ incident.alerts.append(1) }}",
        "{{ lipsum.__globals__ }}",
    ],
    ids=range(15),
)
def test_no_template_reaches_pythons_insides(escape):
    said = text(escape)

    assert said.startswith("(The text template of the channel could not be used: line 1: ")
    assert said.endswith("The built-in text.")


@pytest.mark.parametrize(
    "wrong",
    [
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ " + "-" * 900 + "1 }}",
        "{{ 1/0 }}",
        "{{ tags.a.b() }}",
    ],
    ids=["recursion", "nesting", "division", "call"],
)
def test_a_template_that_fails_says_why(wrong):
    assert text(wrong).startswith("(The text template of the channel could not be used: ")


# --- the process ---


@on_linux
def test_the_process_gets_neither_our_environment_nor_our_descriptors(renderer, monkeypatch, tmp_path):
    monkeypatch.setenv("WATCHKEEPER_API_TOKEN", "hunter2")
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        text("warm")

    child = psutil.Process(pid_of(renderer))
    assert not {name for name in child.environ() if not name.startswith(("PYTHON", "LD_LIBRARY", "LC_"))}
    assert child.num_fds() == 3
    assert child.cwd() == "/"
    assert child.children() == []


def test_one_process_serves_all_messages_of_all_threads(renderer):
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda number: text("{{ title }}", title=f"message {number}"), range(100)))
    child = pid_of(renderer)

    assert said == [f"message {number}" for number in range(100)]
    assert text("{{ title }}") == "[FIRING] critical: DiskFull"
    assert pid_of(renderer) == child


def test_a_process_that_died_is_replaced(renderer):
    text("warm")
    first = pid_of(renderer)
    os.kill(first, signal.SIGKILL)

    assert is_gone(first)
    assert text("{{ severity }}") == "critical"
    assert pid_of(renderer) != first


def test_a_process_that_does_not_answer_is_not_waited_for(renderer, monkeypatch):
    monkeypatch.setattr(renderer_module, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(renderer_module, "GRACE_SECONDS", 0.1)
    text("warm")
    os.kill(pid_of(renderer), signal.SIGSTOP)

    said = text("{{ severity }}", message="m" * 2_000_000)

    assert "it took longer than 0.1 s" in said


def test_where_no_process_can_be_started_messages_go_out_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    first, second = text("{{ severity }}"), text("{{ title }}")

    assert "the renderer could not be started: No such file or directory; this is" in first
    assert "the renderer could not be started: No such file or directory; it is tried again" in second


@pytest.mark.parametrize("last_words", ["pass", "os.kill(os.getpid(), 9)"], ids=["exit", "kill"])
def test_the_process_ends_with_its_parent_even_while_it_renders(last_words):
    program = f"""
        import os, threading, time
        from pathlib import Path
        from tasks.notify.templating.renderer import renderer

        nowhere = Path("/nonexistent")
        renderer.render("text", "warm", nowhere, {{}})
        print(renderer._child.process.pid, flush=True)
        threading.Thread(target=renderer.render, args=("text", "{LOOP}", nowhere, {{}}), daemon=True).start()
        time.sleep(0.05)
        {last_words}
    """

    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )

    assert ran.stdout, ran.stderr
    assert is_gone(int(ran.stdout))


# --- HTML ---


def test_values_are_escaped_in_html_and_the_authors_markup_is_not():
    html = html_of("email", "<b>{{ title }}</b>{{ none }}<a href='{{ links.Source }}'>", notification(title=NASTY))

    assert html == "<b>&#34;}, &lt;b&gt;&amp;\\ {{ 7*7 }} &lt;!channel&gt;</b><a href=''>"


def test_html_that_fails_is_the_built_in_text_and_says_so():
    html = html_of("email", "file:gone.j2", notification(message="a < b\n<script>"))

    assert html.startswith("<p>(The html template gone.j2 could not be used: there is no such file ")
    assert html.endswith(">a &lt; b\n&lt;script&gt;</div>\n")


# --- payloads ---


@pytest.mark.parametrize(
    "template",
    [
        '{"text": "{{ title }}"}',
        '{"text": {{ title|tojson }}}',
        '{% macro line(of) %}{"text": "{{ of }}"}{% endmacro %}{{ line(title) }}',
        '{% set said %}{{ title }}{% endset %}{"text": "{{ said }}"}',
        '{"text": "{{ "" ~ title }}"}',
        '{"text": "{title}"}',
    ],
    ids=["quoted", "tojson", "macro", "block", "joined", "format"],
)
def test_no_value_breaks_out_of_a_payload(template):
    assert payload_of("generic", template, notification(title=NASTY)) == {"text": NASTY}


def test_a_payload_holds_any_json():
    template = '[{{ tags }}, {{ incident.id }}, {{ none }}, {{ tags.rack|tojson }}, {{ true }}, "{{ 1 }}"]'

    assert payload_of("generic", template, notification()) == [{"host": "db-03"}, 7, None, None, True, "1"]


def test_no_value_mentions_anybody_in_slack():
    made = notification(title="a <!channel> & b", tags={"<@U1>": "<@U2>"})

    payload = payload_of("slack", '{"text": "<!here> {{ title }}", "tags": {{ tags }}}', made)

    assert payload == {"text": "<!here> a &lt;!channel&gt; &amp; b", "tags": {"&lt;@U1&gt;": "&lt;@U2&gt;"}}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ('{"text": {{ title }}}', "what it gives is not JSON: Expecting value in line 1"),
        ('{"n": NaN}', "what it gives is not JSON"),
        ("[" * 100_000, "what it gives is not JSON"),
        ("null", "what it gives is null"),
        (" ", "what it gives is not JSON: Expecting value in line 1"),
        ("{{ 1/0 }}", "line 1: ZeroDivisionError: division by zero"),
    ],
    ids=["bare", "nan", "deep", "null", "empty", "error"],
)
def test_a_payload_that_fails_is_the_text_and_says_so(template, reason):
    made = notification()

    body = body_of("generic", payload_template=template, template="{{ severity }}", notification=made)

    assert body.payload is None
    note = f"(The payload template of the channel could not be used: {reason}; this is the built-in payload.)"
    assert body.text == f"{note}\n\ncritical"


def test_a_body_is_the_payload_where_there_is_one_and_else_the_text():
    payload = body_of("generic", payload_template="[1]", template="words", notification=notification())
    words = body_of("generic", payload_template=None, template="words", notification=notification())

    assert (payload.payload, words.payload, words.text) == ([1], None, "words")
    json.dumps(payload.payload)
