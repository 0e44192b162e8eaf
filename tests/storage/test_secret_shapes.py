"""Secrets by their shape and in sentences, texts that only look like them, and what looking for them costs."""

import json
import time

import pytest
from planted import INNOCENT, SECRETS, made
from pydantic_core._pydantic_core import list_all_errors

from storage.redaction import MASK, redact, redact_text
from storage.secret_names import NAMED
from storage.secret_shapes import SHAPES

RULES = [*SHAPES, *NAMED]
# What rules begin with and look for, over and over, so that each of them begins everywhere and never ends.
NASTY = (
    *("a", "_", "-", " ", "\n", "\\", '"', "'", "[", "{", "a.", "a-", "a_", "0123456789abcdef", "a:b", "://", "@"),
    *("key=", "key: ", "password: ", "password '", "--token ", "api key ", "a-token", "pass", "auth=", "token:"),
    *(
        "mysql ",
        "mysql -",
        "redis-cli ",
        "sshpass -p",
        "-u a:",
        "identified by '",
        "cookie:",
        "cookie: a=",
        "?sig=",
    ),
    *("sk-", "eyJ", "eyJa.", "_eyJ", "\\neyJ", "xoxb-", "SG.aaaaaaaaaaaaaaaa.", "aaaaaaaa8Q~", "1:AA", "-us1 "),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "-----END ",
        "private-lines:",
        "AKIAAAAAAAAAAAAAAAAA",
        "basic ",
    ),
    *("a-token:", "a-token: a", "a-token: 1", "api.a: ", "api-a: a1-", "x-a-", "x-key: ", "-dsn:", "a.key"),
    *("thin:a/", "x@tcp(", "hooks.slack.com/services/", "authorization: ", "bearer "),
)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_of_every_kind_is_hidden(kind: str) -> None:
    planted = SECRETS[kind]

    shown = redact_text(planted.text)

    assert planted.secret not in shown
    assert MASK in shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_hidden_in_text_around_it_and_in_values_and_names(kind: str) -> None:
    planted = SECRETS[kind]
    value = {"a": [f"\x1b[1m(\n{planted.text}\n)", {"b": {planted.text: "c"}}], "d": f'"{planted.text}"'}

    assert planted.secret not in str(redact(value)).replace("\\", "")


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact_text(text) == text
    assert redact({"a": [text]}) == {"a": [text]}


@pytest.mark.parametrize("kind", ["GitHub token", "OpenAI key", "JWT", "npm token", "Vault token"])
def test_a_token_on_a_line_of_its_own_is_hidden_in_json_within_a_text(kind: str) -> None:
    secret = SECRETS[kind].secret
    token = next(word for word in SECRETS[kind].text.split() if secret in word)

    shown = redact_text(json.dumps({"a": f"line\n{token}"}))

    assert secret not in shown


def test_what_stands_around_a_secret_stays() -> None:
    assert redact_text("the deploy-token: 'hunter2', then") == "the deploy-token: '***', then"
    assert redact_text(f"api-3: {made(24)}; api-4: down") == "api-3: ***; api-4: down"
    assert redact_text(f"x AKIA{'A' * 16} then {made(40)} y") == "x *** then *** y"
    assert redact_text("mysqldump -u root -phunter2 shop") == "mysqldump -u root -p*** shop"
    assert redact_text("curl -u ann:hunter2 x") == "curl -u ann:*** x"
    assert redact_text("password: hunter2, then more") == "password: ***, then more"
    assert redact_text("Wrong password: Password: hunter2") == "Wrong password: Password: ***"
    assert redact_text("-----BEGIN EC PRIVATE KEY-----\nab+/\n-----END EC PRIVATE KEY-----\nx") == "***\nx"
    assert redact_text("Cookie: a=b; c=d\nHost: x") == "Cookie: ***\nHost: x"


@pytest.mark.parametrize(
    "message", sorted({error["message_template_python"] for error in list_all_errors()}), ids=lambda m: m[:40]
)
def test_an_error_about_a_password_says_what_is_wrong_with_it(message: str) -> None:
    filled = message.replace("{field_type}", "List").replace("{error}", "Value is wrong")

    assert redact_text(f"password: {filled}") == f"password: {filled}"


@pytest.mark.parametrize(
    "said", ["is not set", "must be text", "cannot be read", "unknown", "environment variable x"]
)
def test_our_own_errors_about_secrets_stay(said: str) -> None:
    assert redact_text(f"channel 'ops': smtp.password: {said}") == f"channel 'ops': smtp.password: {said}"


@pytest.mark.parametrize("nasty", NASTY)
def test_no_rule_takes_more_than_linear_time(nasty: str) -> None:
    """What reads 20 kB twice for each character takes seconds; test_redaction.py has 100 kB for all rules."""
    text = nasty * (20_000 // len(nasty))
    slow = {}

    for rule in RULES:
        began = time.process_time()
        rule.pattern.sub(rule.replacement, text)
        slow[rule.pattern.pattern] = time.process_time() - began

    assert max(slow.values()) < 0.7, max(slow, key=lambda pattern: slow[pattern])


def test_every_rule_is_applied_where_its_text_stands_alone() -> None:
    """A rule without the right hint would never be tried: each kind is found by hints alone."""
    unused = [rule for rule in RULES if not any(rule.pattern.search(planted.text) for planted in SECRETS.values())]

    assert [rule.hints for rule in unused] == [("key",)]  # PuTTY's keys


def test_a_key_of_putty_is_hidden() -> None:
    text = (
        "PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\nAAAAIHunter2\nPrivate-MAC: 7"
    )

    assert "Hunter2" not in redact_text(text)
    assert "Public-Lines: 1" in redact_text(text)
