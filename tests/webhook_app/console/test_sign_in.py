"""Signing in and out: the cookie, what ends it, and what happens to guesses."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from console_client import PASSWORD, Console, add_user, console
from flask import Flask, flash
from sqlalchemy import select

from storage import users
from storage.database import Database
from storage.settings import Settings
from storage.tables import AuditEntry, User
from storage.vocabulary import AuditOutcome, Role
from webhook_app import places
from webhook_app.app import create_app
from webhook_app.console.sign_in import secret_key
from webhook_app.console.sign_in.throttle import OF_ADDRESS, OF_BOTH, Throttle

ELSEWHERE = "192.0.2.7"
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Flask:
    add_user(database, "Ann")
    add_user(database, "Ben")
    return create_app(Settings(home=tmp_path), database)


@pytest.fixture
def ben(app: Flask) -> Console:
    somebody = console(app, address=ELSEWHERE)
    somebody.sign_in("ben")
    return somebody


def is_in(somebody: Console) -> bool:
    return somebody.get("/admin/audit/").status_code == 200


def entries(database: Database) -> list[tuple[str, str, str, str, str]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.actor, row.action, row.outcome, row.detail, row.address) for row in rows]


def test_user_signs_in_goes_on_to_where_they_wanted_to_and_signs_out(app: Flask, database: Database) -> None:
    somebody = console(app, address=ELSEWHERE)

    turned_away = somebody.get("/admin/alerts/?status=firing")
    form = somebody.get(turned_away.headers["Location"])
    came_in = somebody.sign_in("ANN", next="/admin/alerts/?status=firing")
    was_in = is_in(somebody)
    out = somebody.sign_out()

    assert turned_away.headers["Location"] == "/admin/login/?next=/admin/alerts/?status%3Dfiring"
    assert 'value="/admin/alerts/?status=firing"' in form.text
    assert (came_in.status_code, came_in.headers["Location"]) == (303, "/admin/alerts/?status=firing")
    assert was_in
    assert out.headers["Location"] == "/admin/login/"
    assert not is_in(somebody)
    assert entries(database) == [
        ("Ann", "sign in", AuditOutcome.DONE, "", ELSEWHERE),
        ("Ann", "sign out", AuditOutcome.DONE, "", ELSEWHERE),
    ]
    with database.read() as session:
        assert users.known(session, "ann").signed_in_at is not None


@on_one_database
@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example/admin/",
        "https://evil.example/admin/",
        "/\\evil.example",
        "/admin/\\evil",
        "/admin//evil.example",
        "/admin/../metrics",
        "/admin/%2e%2e/metrics",
        "/administrator",
        "/admin/logout/",
        "javascript:alert(1)",
        "/admin/\r\nX: y",
    ],
)
def test_next_leads_nowhere_but_to_the_console(app: Flask, wanted: str) -> None:
    response = console(app).sign_in("ann", next=wanted)

    assert (response.status_code, response.headers["Location"]) == (303, "/admin/")


@on_one_database
def test_failures_look_alike_and_what_was_typed_as_a_name_is_not_kept(app: Flask, database: Database) -> None:
    with database.write() as session:
        users.set_active(session, users.known(session, "ben"), is_active=False)
    somebody = console(app)

    answers = [
        somebody.sign_in("ann", "wrong password"),
        somebody.sign_in("hunter2 hunter2", PASSWORD),
        somebody.sign_in("ben", PASSWORD),
        somebody.sign_in("\x00\ud7ff" * 2000, "x" * 5000),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert all("name or password: not right" in answer.text for answer in answers)
    assert [(actor, detail) for actor, _, _, detail, _ in entries(database)] == [
        ("Ann", "wrong password"),
        ("nobody", "unknown name"),
        ("Ben", "switched off"),
        ("nobody", "unknown name"),
    ]
    assert "hunter2" not in str(entries(database))
    assert not is_in(somebody)


@on_one_database
def test_unknown_name_takes_as_long_as_a_wrong_password(app: Flask) -> None:
    somebody = console(app)
    somebody.sign_in("ann", "to warm up")

    def best_seconds(name: str) -> float:
        took = []
        for _ in range(3):
            began = time.perf_counter()
            somebody.sign_in(name, "wrong password")
            took.append(time.perf_counter() - began)
        return min(took)

    assert 0.4 < best_seconds("zoe") / best_seconds("ann") < 2.5


@on_one_database
def test_cookie_is_for_the_console_alone_and_no_script_reads_it(app: Flask) -> None:
    cookie = console(app, address=ELSEWHERE).sign_in("ann").headers["Set-Cookie"]

    assert cookie.startswith("watchkeeper_session=")
    assert {"HttpOnly", "Path=/admin", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


@on_one_database
def test_cookie_goes_over_https_alone_where_that_is_the_public_url(database: Database, tmp_path: Path) -> None:
    add_user(database)
    app = create_app(Settings(home=tmp_path, public_url="https://watch.example"), database)
    proxied = {"X-Forwarded-For": ELSEWHERE, "Host": "watch.example"}

    by_proxy = console(app).get("/admin/login/", headers=proxied)
    here = console(app).get("/admin/login/")

    assert "Secure" in by_proxy.headers["Set-Cookie"].split("; ")
    assert "Secure" not in here.headers["Set-Cookie"].split("; ")


@on_one_database
def test_session_before_the_sign_in_is_worth_nothing_after_it(app: Flask) -> None:
    somebody = console(app)
    with somebody.client.session_transaction("/admin/") as held:
        held["planted"] = "by somebody else"
    before = somebody.token()

    somebody.sign_in("ann")

    with somebody.client.session_transaction("/admin/") as held:
        assert "planted" not in held
    stale = somebody.client.post("/admin/logout/", data={"csrf_token": before})
    assert stale.status_code == 400
    assert is_in(somebody)


@pytest.mark.parametrize("deed", ["password", "role", "disable", "remove"])
def test_sign_in_ends_at_once_with_what_it_stood_on(ben: Console, database: Database, deed: str) -> None:
    was_in = is_in(ben)

    with database.write() as session:
        user = users.known(session, "ben")
        if deed == "password":
            users.set_password(session, user, "x")
        elif deed == "role":
            users.set_role(session, user, Role.VIEWER)
        elif deed == "disable":
            users.set_active(session, user, is_active=False)
        else:
            users.remove(session, user)

    assert (was_in, is_in(ben)) == (True, False)


def test_next_user_does_not_inherit_the_sign_in_of_a_removed_one(ben: Console, database: Database) -> None:
    with database.write() as session:
        users.remove(session, users.known(session, "ben"))

    add_user(database, "Eve")

    assert not is_in(ben)


@on_one_database
@pytest.mark.parametrize(("since", "stays"), [(-6 * 86_400, True), (-8 * 86_400, False), (3600, False)])
def test_sign_in_ends_after_a_week_however_busy_somebody_is(ben: Console, since: int, stays: bool) -> None:
    with ben.client.session_transaction("/admin/") as held:
        held["since"] = int(time.time()) + since

    assert is_in(ben) is stays


@on_one_database
def test_form_sent_after_the_sign_in_ended_leads_back_to_its_page(ben: Console, database: Database) -> None:
    with database.write() as session:
        users.set_password(session, users.known(session, "ben"), "x")

    response = ben.post("/admin/alerts/action/", {"action": "x", "url": "/admin/alerts/?status=firing"})

    assert response.headers["Location"] == "/admin/login/?next=/admin/alerts/?status%3Dfiring"
    assert "nothing was done" in ben.get("/admin/login/").text


def test_own_password_is_changed_and_sign_ins_elsewhere_end(app: Flask, ben: Console, database: Database) -> None:
    elsewhere = console(app)
    elsewhere.sign_in("ben")
    new = {"current": PASSWORD, "new": "quite another one", "again": "quite another one"}

    refused = [
        ben.post("/admin/password/", new | {"current": "not this one"}),
        ben.post("/admin/password/", new | {"new": "short"}),
        ben.post("/admin/password/", new | {"again": "quite another two"}),
    ]
    changed = ben.post("/admin/password/", new)

    said = ("current password: not right", "new password: at least 12 characters", "again: not the same")
    assert [answer.status_code for answer in refused] == [400] * 3
    assert all(each in answer.text for each, answer in zip(said, refused, strict=True))
    assert (changed.status_code, is_in(ben), is_in(elsewhere)) == (303, True, False)
    assert elsewhere.sign_in("ben", "quite another one").status_code == 303
    assert [entry[:4] for entry in entries(database)[2:4]] == [
        ("Ben", "change password", "refused", "wrong password"),
        ("Ben", "change password", "done", ""),
    ]


@on_one_database
def test_guesses_are_stopped_and_told_when_to_try_again(app: Flask, database: Database) -> None:
    guesser, other = console(app, address=ELSEWHERE), console(app, address="198.51.100.1")

    for name in ("ann", "zoe"):
        answers = [guesser.sign_in(name, "wrong") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [403] * 5 + [429] * 2
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert "try again in" in answers[-1].text
    right = guesser.sign_in("ann")

    assert right.status_code == 429
    assert other.sign_in("ann").status_code == 303
    assert sum("too many" in entry[3] for entry in entries(database)) == 1


@on_one_database
def test_right_password_makes_the_failures_before_it_nothing(app: Flask) -> None:
    somebody = console(app)

    for _ in range(2):
        assert [somebody.sign_in("ann", "wrong").status_code for _ in range(4)] == [403] * 4
        assert somebody.sign_in("ann").status_code == 303
        somebody.sign_out()


def test_one_address_is_stopped_whatever_names_it_tries_and_so_is_its_ipv6_network() -> None:
    throttle = Throttle()

    for number in range(OF_ADDRESS.amount):
        assert throttle.take(f"name-{number}", f"2001:db8::{number:x}") == 0

    assert throttle.take("another", "2001:db8::ffff") > 0
    assert throttle.take("another", "2001:db8:0:1::1") == 0


def test_many_tries_at_once_are_no_more_than_those_allowed() -> None:
    throttle = Throttle()
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.append(throttle.take("ann", ELSEWHERE))) for _ in range(40)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken.count(0) <= OF_BOTH[0].amount


@on_one_database
@pytest.mark.parametrize(
    ("peer", "forwarded", "known"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "<script>", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%" + "x" * 100, "fe80::1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
    ],
)
def test_address_is_the_peers_or_what_the_proxy_of_this_machine_names(
    app: Flask, database: Database, peer: str, forwarded: str, known: str
) -> None:
    console(app, address=peer).post(
        "/admin/login/", {"name": "ann", "password": "wrong"}, headers={"X-Forwarded-For": forwarded}
    )

    assert [entry[4] for entry in entries(database)] == [known]


def test_key_is_made_once_by_all_who_start_together_and_kept_for_this_user_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(secret_key.load(settings))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    files = list((tmp_path / "home").iterdir())
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [file.name for file in files] == ["console-key"]
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_sign_in_holds_in_every_receiver_of_one_key(database: Database, tmp_path: Path) -> None:
    add_user(database)
    apps = [create_app(Settings(home=tmp_path / str(n), secret_key="k" * 32), database) for n in range(2)]
    first, second = map(console, apps)
    first.sign_in("ann")
    cookie = first.client.get_cookie("watchkeeper_session", path="/admin")
    assert cookie is not None

    second.client.set_cookie(cookie.key, cookie.value, path=cookie.path)

    assert is_in(second)
    assert not (tmp_path / "0").exists()


@pytest.mark.parametrize("content", [None, b"short", b"\xff" * 64])
def test_without_a_usable_key_file_the_receiver_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    home = tmp_path / "home"
    if content is None:
        home.write_text("a file where the folder should be")
    else:
        home.mkdir()
        (home / "console-key").write_bytes(content)

    key = secret_key.load(Settings(home=home))

    assert len(key) >= 32
    assert "WATCHKEEPER_SECRET_KEY" in caplog.text
    assert key not in caplog.text


def test_sign_out_makes_a_copied_cookie_worth_nothing(app: Flask, ben: Console) -> None:
    copied = ben.client.get_cookie("watchkeeper_session", path="/admin")
    assert copied is not None

    ben.sign_out()

    thief = console(app)
    thief.client.set_cookie(copied.key, copied.value, path=copied.path)
    assert not is_in(thief)


def test_password_given_by_an_operator_meanwhile_stands(
    ben: Console, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_password = users.hash_password

    def hash_late(password: str) -> str:
        with database.write() as session:
            users.set_password(session, users.known(session, "ben"), "of the operator")
        return hash_password(password)

    monkeypatch.setattr(users, "hash_password", hash_late)
    ben.post("/admin/password/", {"current": PASSWORD, "new": "quite another one", "again": "quite another one"})

    with database.read() as session:
        assert users.known(session, "ben").password_hash == "of the operator"
    assert not is_in(ben)


@on_one_database
def test_passwords_are_tried_few_at_a_time_and_who_waits_is_told(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_password_of, going, go_on = users.is_password_of, threading.Barrier(places.TRIERS + 1), threading.Event()

    def slowly(user: User | None, password: str) -> bool:
        going.wait(10)
        go_on.wait(10)
        return bool(is_password_of(user, password))

    monkeypatch.setattr(users, "is_password_of", slowly)
    people = [console(app) for _ in range(places.TRIERS)]
    with ThreadPoolExecutor(places.TRIERS) as threads:
        answers = [threads.submit(each.sign_in, "ann") for each in people]
        going.wait(10)
        late = console(app).sign_in("ben")
        looking = console(app).get("/admin/login/")
        go_on.set()

    assert [each.result().status_code for each in answers] == [303] * places.TRIERS
    assert (late.status_code, "Retry-After" in late.headers) == (503, True)
    assert looking.status_code == 200


@on_one_database
def test_messages_are_cut_to_what_a_cookie_holds(app: Flask) -> None:
    @app.post("/admin/told/")
    def told() -> str:
        for number in range(9):
            flash("".join(chr(0x4E00 + (number * 997 + n * n) % 20_000) for n in range(2000)), "refused")
        flash("the last", "done")
        return ""

    ann = console(app)
    ann.sign_in("ann")
    answer = ann.post("/admin/told/")
    page = ann.get("/admin/audit/")

    assert len(answer.headers["Set-Cookie"].partition(";")[0]) < 4096
    assert "the last" in page.text
    assert page.text.count("message-refused") == 4


@on_one_database
def test_cookie_goes_over_https_alone_where_the_proxy_says_that_people_come_by_it(app: Flask) -> None:
    proxied = {"X-Forwarded-For": ELSEWHERE, "X-Forwarded-Proto": "https"}

    answer = console(app).get("/admin/login/", headers=proxied)

    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_a_right_password_forgets_the_tries_by_its_name_and_not_those_of_its_address() -> None:
    throttle = Throttle()
    for number in range(29):
        throttle.take(f"name-{number}", "192.0.2.7")
    throttle.take("ann", "192.0.2.7")

    throttle.forget("ann", "192.0.2.7")

    assert throttle.take("ann", "192.0.2.7") > 0
