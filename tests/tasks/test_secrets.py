import threading

import pytest
from raw_server import raw_server
from sinks import HttpSink

from tasks.errors import PermanentError, TransientError
from tasks.secrets import MAX_FILE_BYTES, resolve


def test_references_are_replaced_anywhere_and_the_rest_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("WK_TOKEN", "hunter2")
    (tmp_path / "secret").write_text("s3cret\n")
    config = {
        "a": {"env": "WK_TOKEN"},
        "b": [{"c": {"file": str(tmp_path / "secret")}}, 7, None],
        "d": "{'env': 'WK_TOKEN'}",
    }

    resolved = resolve(config)

    assert resolved == {"a": "hunter2", "b": [{"c": "s3cret"}, 7, None], "d": "{'env': 'WK_TOKEN'}"}
    assert config["a"] == {"env": "WK_TOKEN"}


@pytest.mark.parametrize(
    "value", [{"env": "WK_TOKEN", "file": "x"}, {"env": "WK_TOKEN", "note": ""}, {"ENV": "WK_TOKEN"}, {}]
)
def test_only_a_dict_with_exactly_that_one_key_is_a_reference(monkeypatch, value):
    monkeypatch.setenv("WK_TOKEN", "hunter2")

    assert resolve({"a": value}) == {"a": value}


def test_a_header_called_env_is_a_header_and_its_value_may_be_a_reference(monkeypatch):
    monkeypatch.setenv("WK_TOKEN", "hunter2")

    assert resolve({"headers": {"env": "WK_TOKEN"}}) == {"headers": {"env": "WK_TOKEN"}}
    assert resolve({"headers": {"X-Token": {"env": "WK_TOKEN"}}}) == {"headers": {"X-Token": "hunter2"}}


def test_a_value_is_not_resolved_twice(monkeypatch):
    monkeypatch.setenv("WK_TOKEN", '{"env": "HOME"}')

    assert resolve({"a": {"env": "WK_TOKEN"}}) == {"a": '{"env": "HOME"}'}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b"a\n\n", "a\n"),
        (b" a ", " a "),
        (b"", ""),
        ("gr\u00fcn\n".encode(), "grün"),
    ],
)
def test_a_file_loses_only_its_trailing_newline(tmp_path, content, text):
    (tmp_path / "secret").write_bytes(content)

    assert resolve({"a": {"file": str(tmp_path / "secret")}}) == {"a": text}


def test_an_unset_variable_is_refused_by_field_and_name(monkeypatch):
    monkeypatch.delenv("WK_TOKEN", raising=False)

    with pytest.raises(PermanentError, match=r"^list\[1\]\.password: environment variable 'WK_TOKEN' is not set$"):
        resolve({"list": [{}, {"password": {"env": "WK_TOKEN"}}]})


@pytest.mark.parametrize("name", ["/nowhere/secret", "/dev/zero", "/", "a\0b", ""])
def test_a_file_that_cannot_be_read_is_refused_by_field_and_path(name):
    with pytest.raises(PermanentError) as caught:
        resolve({"password": {"file": name}})

    assert str(caught.value).startswith(f"password: secret file {name!r} ")


@pytest.mark.parametrize("content", [b"hunter2\xff", b"hunter2" * MAX_FILE_BYTES])
def test_a_file_that_holds_no_usable_text_is_refused_without_showing_it(tmp_path, content):
    (tmp_path / "secret").write_bytes(content)

    with pytest.raises(PermanentError, match=r"^password: secret file ") as caught:
        resolve({"password": {"file": str(tmp_path / "secret")}})

    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(("status", "error"), [(404, PermanentError), (500, TransientError)])
def test_a_prefect_block_that_is_not_there_is_permanent_and_a_failing_server_is_not(status, error):
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415  takes 2 s

    with (
        HttpSink(default=status) as server,
        temporary_settings({PREFECT_API_URL: f"{server.url}/api"}),
        pytest.raises(error, match=r"^password: Prefect Secret block 'smtp'"),
    ):
        resolve({"password": {"prefect": "smtp"}})


def test_a_prefect_server_that_never_answers_is_not_waited_for_long(monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415  takes 2 s

    monkeypatch.setattr("tasks.secrets.MAX_LOAD_SECONDS", 0.2)
    is_over = threading.Event()
    with (
        raw_server(lambda _: is_over.wait(30) and None) as url,
        temporary_settings({PREFECT_API_URL: f"{url}/api"}),
    ):
        with pytest.raises(TransientError) as caught:
            resolve({"password": {"prefect": "smtp"}})
        is_over.set()

    said = "password: Prefect Secret block 'smtp': Prefect's server did not answer within 0.2 s"
    assert str(caught.value) == said
