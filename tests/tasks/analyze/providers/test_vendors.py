"""Every AI provider over real HTTP, against a server that speaks its vendor's protocol."""

import json
import logging
import socket
import time

import pytest
from ai_vendors import GOOD, VENDORS, Vendor
from raw_server import raw_server
from sinks import Answer, HttpSink, certificate_files

from storage.records import Analysis, Tokens
from tasks.analyze.providers import PROVIDERS, build
from tasks.analyze.providers.ai import CHATTY, AiProvider, Meter
from tasks.analyze.request import AnalysisRequest
from tasks.errors import PermanentError, TransientError

QUESTION = AnalysisRequest(incident=None, evidence={"hostname": "web-1", "note": "quarterly-filler"})
REPLY = json.dumps(GOOD)
WRONG = json.dumps({"answer": 42})

# Importing the clients takes seconds, and so it would count for the first test of each.
pytestmark = pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the sink's certificate alone: every client loads all that is trusted, and the system's are many."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files()[0]))


def provider(vendor: Vendor, url: str, **config: object) -> AiProvider:
    built = build(vendor.kind, vendor.config(url) | config)
    assert isinstance(built, AiProvider)
    return built


def ask(vendor: Vendor, url: str, meter: Meter | None = None, **config: object) -> Analysis:
    asked = provider(vendor, url, **config)
    return asked.ask(asked.compose(QUESTION), meter or Meter())


def test_question_goes_out_as_composed_in_the_vendors_own_form(vendor):
    with HttpSink([vendor.answer(REPLY)]) as sink:
        asked = provider(vendor, sink.url, model="some-model", max_tokens=700)
        asked.analyze(QUESTION)

    [request] = sink.requests
    prompt = asked.compose(QUESTION)
    assert vendor.asked(request) == prompt.text
    assert prompt.instructions.strip() in vendor.instructions(request)
    assert "probable_cause" in vendor.instructions(request)
    assert vendor.asked_model(request) == "some-model"
    assert vendor.max_tokens(request) == 700
    assert vendor.given_key(request) == vendor.key
    assert str(request.headers).count(vendor.key) == 1
    assert vendor.key not in request.path
    assert vendor.key.encode() not in request.body


def test_analysis_has_the_replys_words_and_confidence_and_the_vendors_counts(vendor):
    answer = vendor.answer(REPLY, model="model-that-answered", prompt_tokens=812, completion_tokens=97)
    meter = Meter()

    with HttpSink([answer]) as sink:
        analysis = ask(vendor, sink.url, meter)

    assert analysis.summary == GOOD["summary"]
    assert analysis.probable_cause == GOOD["probable_cause"]
    assert analysis.confidence == GOOD["confidence"]
    [advice] = analysis.recommendations
    [wanted] = GOOD["recommendations"]
    assert (advice.type, advice.priority, advice.title) == ("disk", "high", wanted["title"])
    assert advice.actions == wanted["actions"]
    assert analysis.model_name == "model-that-answered"
    assert (analysis.prompt_tokens, analysis.completion_tokens, analysis.total_tokens) == (812, 97, 909)
    assert meter.tokens == Tokens(812, 97, 909)


def test_json_in_a_fence_is_read(vendor):
    with HttpSink([vendor.answer(f"Here it is:\n\n```json\n{REPLY}\n```\nGood luck!")]) as sink:
        analysis = ask(vendor, sink.url)

    assert analysis.summary == GOOD["summary"]
    assert len(sink.requests) == 1


@pytest.mark.parametrize(
    ("bad", "fault"),
    [("I think it is the disk.", "Invalid JSON"), (WRONG, "Field required")],
    ids=["no JSON", "wrong schema"],
)
def test_reply_that_does_not_fit_is_asked_once_more_with_the_error(vendor, bad, fault):
    meter = Meter()

    with HttpSink([vendor.answer(bad), vendor.answer(REPLY, prompt_tokens=300)]) as sink:
        analysis = ask(vendor, sink.url, meter)

    [first, second] = sink.requests
    assert analysis.summary == GOOD["summary"]
    assert meter.tokens == Tokens(420, 90, 510)
    assert analysis.total_tokens == 510
    assert vendor.asked(second).startswith(vendor.asked(first))
    assert fault in vendor.asked(second)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (WRONG, "did not fit: summary: Field required; probable_cause: Field required"),
        ("", "had no text"),
    ],
    ids=["wrong schema", "empty"],
)
def test_reply_that_does_not_fit_twice_is_refused_and_counted(vendor, bad, said):
    meter = Meter()

    with HttpSink(default=vendor.answer(bad)) as sink, pytest.raises(PermanentError) as refused:
        ask(vendor, sink.url, meter)

    assert said in str(refused.value)
    assert "disk" not in str(refused.value)
    assert len(sink.requests) == 2
    assert meter.tokens == Tokens(240, 90, 330)


def test_reply_that_is_cut_off_says_so_and_is_not_asked_again(vendor):
    meter = Meter()

    with (
        HttpSink(default=vendor.answer(REPLY[:50], ending="cut")) as sink,
        pytest.raises(PermanentError) as refused,
    ):
        ask(vendor, sink.url, meter, max_tokens=321)

    assert "was cut off at max_tokens (321)" in str(refused.value)
    assert len(sink.requests) == 1
    assert meter.tokens == Tokens(120, 45, 165)


def test_reply_that_is_withheld_says_so_and_is_not_asked_again(vendor):
    if vendor.kind == "mistral":
        pytest.skip("Mistral knows no such ending")
    meter = Meter()

    with (
        HttpSink(default=vendor.answer("I can", ending="withheld")) as sink,
        pytest.raises(PermanentError) as refused,
    ):
        ask(vendor, sink.url, meter)

    assert "was withheld by a content filter" in str(refused.value)
    assert len(sink.requests) == 1
    assert meter.tokens == Tokens(120, 45, 165)


@pytest.mark.parametrize("status", [401, 404])
def test_refusal_is_permanent_in_the_vendors_words_without_the_key(vendor, status):
    answer = vendor.error(status, f"no good: {vendor.key}!")

    with HttpSink(default=answer) as sink, pytest.raises(PermanentError) as refused:
        ask(vendor, sink.url)

    assert str(refused.value) == f"127.0.0.1 answered {status}: no good: ***!"
    assert len(sink.requests) == 1


@pytest.mark.parametrize(("status", "wish"), [(429, 17), (500, None), (503, 9)])
def test_passing_failure_is_transient_and_left_to_the_caller_to_repeat(vendor, status, wish):
    busy = vendor.error(status, "busy", retry_after=wish)

    with HttpSink(default=busy) as sink, pytest.raises(TransientError) as passing:
        ask(vendor, sink.url)

    assert str(passing.value) == f"127.0.0.1 answered {status}: busy"
    assert passing.value.retry_after_seconds == wish
    assert len(sink.requests) == 1


def test_answer_that_is_late_is_not_waited_for(vendor):
    late = Answer(delay_seconds=9)
    started = time.monotonic()

    with HttpSink([late]) as sink, pytest.raises(TransientError, match=r"^127.0.0.1 did not answer within 0.3 s$"):
        ask(vendor, sink.url, timeout_seconds=0.3)

    assert time.monotonic() - started < 6
    assert len(sink.requests) == 1


def test_connection_that_is_cut_is_transient(vendor):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"

    with raw_server(lambda to: to.sendall(head + b"{")) as url, pytest.raises(TransientError) as passing:
        ask(vendor, url)

    assert str(passing.value) == "127.0.0.1: RemoteProtocolError"


def test_redirect_is_not_followed(vendor):
    with HttpSink() as elsewhere:
        moved = Answer(307, headers={"Location": f"{elsewhere.url}/v1/messages"})
        with HttpSink([moved]) as sink, pytest.raises(PermanentError) as refused:
            ask(vendor, sink.url)

        assert str(refused.value) == "127.0.0.1 answered 307, a redirect, which is not followed"
        assert len(sink.requests) == 1
        assert elsewhere.connection_count == 0


def test_answer_that_is_none_is_refused_without_its_content(vendor):
    for body in (b'{"choices": 3, "candidates": "planted", "content": 4}', b"{}"):
        answer = Answer(headers={"Content-Type": "application/json"}, body=body)

        with HttpSink(default=answer) as sink, pytest.raises(PermanentError) as refused:
            ask(vendor, sink.url)

        assert "planted" not in str(refused.value)


def test_answer_without_bounds_is_broken_off(vendor):
    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(b" " * 65_536)

    with raw_server(pour) as url, pytest.raises(PermanentError, match="answered with more than 1000000 bytes"):
        ask(vendor, url)


def test_certificate_that_is_not_trusted_is_permanent(vendor, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")

    with HttpSink(is_tls=True) as sink, pytest.raises(PermanentError) as refused:
        ask(vendor, sink.url)

    assert str(refused.value) == "127.0.0.1: TLS certificate refused: self-signed certificate"
    assert sink.requests == []


def test_nothing_of_question_answer_or_key_is_logged(vendor, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for client in CHATTY:
        caplog.set_level(logging.DEBUG, client)  # as their own variables for debugging have it

    with HttpSink([vendor.answer(WRONG), vendor.answer(REPLY), vendor.error(401, "kept-to-itself")]) as sink:
        ask(vendor, sink.url)
        with pytest.raises(PermanentError):
            ask(vendor, sink.url)

    shown = caplog.text + "".join(capfd.readouterr())
    for private in (vendor.key, "quarterly-filler", GOOD["summary"], "kept-to-itself", str(sink.port)):
        assert private not in shown


def test_key_comes_from_the_vendors_own_variable(vendor, monkeypatch):
    kind = PROVIDERS[vendor.kind]
    assert issubclass(kind, AiProvider)
    config = {name: value for name, value in vendor.config("http://127.0.0.1:9").items() if name != "api_key"}
    if not kind.key_variable:
        pytest.skip("it needs no key")
    monkeypatch.setenv(kind.key_variable, "from-the-environment")
    monkeypatch.setenv("GOOGLE_API_KEY", "of-something-else")

    with HttpSink([vendor.answer(REPLY)]) as sink:
        build(vendor.kind, config | {"base_url": vendor.config(sink.url)["base_url"]}).analyze(QUESTION)

    assert vendor.given_key(sink.requests[0]) == "from-the-environment"

    monkeypatch.delenv(kind.key_variable)
    with pytest.raises(PermanentError, match=rf"api_key: environment variable '{kind.key_variable}' is not set"):
        build(vendor.kind, config)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("api_key", "", "api_key: is empty"),
        ("model", "", "model: is empty"),
        ("base_url", "ftp://planted.example", "base_url: not an http or https URL"),
        ("timeout_seconds", 0, "timeout_seconds: must be greater than 0"),
        ("max_tokens", 99, "max_tokens: must be greater than or equal to 100"),
        ("max_input_tokens", 999, "max_input_tokens: must be greater than or equal to 1000"),
        ("colour", "planted", "unknown key colour; known: model, base_url, api_key"),
    ],
)
def test_bad_config_is_refused_by_the_fields_name(vendor, field, value, said):
    with pytest.raises(PermanentError) as refused:
        build(vendor.kind, vendor.config("http://127.0.0.1:9") | {field: value})

    assert str(refused.value).startswith(f"provider {vendor.kind!r}: {said}")
