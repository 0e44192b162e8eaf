import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certificates import Issued, TlsServer, issue, server_context
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from networks import closed_port, needs_ipv6
from pydantic import ValidationError
from sinks import HttpSink
from threads import is_left_behind
from trees import as_nobody

from storage.records import CheckResult
from storage.redaction import redact
from storage.vocabulary import CheckStatus
from tasks.check.checkers.base import NotApplicableError
from tasks.check.checkers.certificate import Certificate
from tasks.check.readings.x509 import MAX_FILE_BYTES

DESCRIPTORS = Path("/proc/self/fd")


def check(*targets: Any, **config: Any) -> CheckResult:
    return Certificate(Certificate.Config.model_validate({"targets": targets, **config})).measure()


def file_with(folder: Path, *issued: Issued) -> str:
    path = folder / "chain.pem"
    path.write_bytes(b"".join(each.pem for each in issued))
    return str(path)


@pytest.mark.parametrize(
    ("days_left", "status"),
    [
        (-3, "critical"),
        (-0.01, "critical"),
        (0.01, "critical"),
        (6.9, "critical"),
        (7.1, "warning"),
        (13.9, "warning"),
        (14.1, "ok"),
        (60, "ok"),
        (36500, "ok"),
    ],
)
def test_fewer_days_are_worse(tmp_path, days_left, status):
    result = check(file_with(tmp_path, issue(days_left=days_left)))

    assert result.status == status
    assert result.readings[0].value == pytest.approx(days_left, abs=0.02)


def test_a_file_that_expires_soon_is_told_with_owner_days_date_and_threshold(tmp_path):
    issued = issue(days_left=5, common_name="shop.example.org")
    path = file_with(tmp_path, issued)

    [reading] = check(path).readings

    until = f"{issued.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    assert reading.target == path
    assert reading.message == (
        f"{path}: certificate of CN=shop.example.org expires in 5.0 days, on {until} (critical below 7 days)"
    )


@pytest.mark.parametrize("days_left", [-40, 5, 15, 60])
def test_a_server_is_read_as_its_certificates_file_is(tmp_path, days_left):
    issued = issue(days_left=days_left)

    with TlsServer(issued, folder=tmp_path) as server:
        result = check(file_with(tmp_path, issued), server.address)

    in_file, served = result.metrics["certificates"]
    assert served == {**in_file, "target": server.address}


@pytest.mark.skipif(not shutil.which("openssl"), reason="compares with openssl")
@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["ECDSA", "RSA"],
)
def test_files_and_servers_agree_with_openssl(tmp_path, key):
    issued = issue(days_left=33, common_name="example.org", key=key)
    path = file_with(tmp_path, issued)
    command = ["openssl", "x509", "-noout", "-enddate", "-subject", "-serial", "-nameopt", "RFC2253", "-in", path]

    said = subprocess.check_output(command, text=True).splitlines()
    with TlsServer(issued, folder=tmp_path) as server:
        metrics = check(path, server.address).metrics

    openssl = dict(line.split("=", 1) for line in said)
    until = datetime.strptime(openssl["notAfter"], "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    for found in metrics["certificates"]:
        assert found["not_after"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
        assert found["days_left"] == pytest.approx((until - datetime.now(UTC)).total_seconds() / 86400, abs=0.02)
        assert found["subject"] == openssl["subject"]
        assert int(found["serial"], 16) == int(openssl["serial"], 16)


def test_an_expired_certificate_is_critical_whatever_the_thresholds(tmp_path):
    path = file_with(tmp_path, issue(days_left=-3))

    [reading] = check(path, warning_threshold=-10, critical_threshold=-20).readings

    assert (reading.status, reading.held) == (CheckStatus.CRITICAL, CheckStatus.CRITICAL)
    assert reading.value == pytest.approx(-3, abs=0.01)
    assert "expired 3.0 days ago, on " in reading.message


def test_a_certificate_that_is_not_valid_yet_is_critical_and_says_so(tmp_path):
    path = file_with(tmp_path, issue(days_left=90, valid_since_days=-2))

    [reading] = check(path).readings

    assert (reading.status, reading.held) == (CheckStatus.CRITICAL, CheckStatus.CRITICAL)
    assert "is not valid before 20" in reading.message


def test_a_value_within_the_recovery_margin_is_still_held_as_bad(tmp_path):
    [reading] = check(file_with(tmp_path, issue(days_left=15)), clear=2).readings

    assert (reading.status, reading.held) == (CheckStatus.OK, CheckStatus.WARNING)


def test_of_a_chain_the_first_to_expire_counts_wherever_it_stands(tmp_path):
    root = issue(days_left=3000, common_name="Root")
    middle = issue(days_left=5, common_name="Middle", issuer=root)
    leaf = issue(days_left=60, issuer=middle)

    result = check(file_with(tmp_path, leaf, middle, root))

    [found] = result.metrics["certificates"]
    assert (found["subject"], found["issuer"]) == ("CN=Middle", "CN=Root")
    assert result.status is CheckStatus.CRITICAL


def test_of_a_chain_one_that_is_not_valid_yet_counts_first(tmp_path):
    result = check(file_with(tmp_path, issue(days_left=30), issue(days_left=90, valid_since_days=-1)))

    assert "is not valid before" in result.message


def test_a_key_and_comments_beside_the_certificate_do_no_harm(tmp_path):
    issued = issue(days_left=60)
    path = tmp_path / "both.pem"
    path.write_bytes(b"Bag Attributes: none\n" + issued.key_pem + issued.pem)

    assert check(str(path)).status is CheckStatus.OK


def test_der_files_are_read(tmp_path):
    path = tmp_path / "certificate.der"
    path.write_bytes(issue(days_left=10).der)

    assert check(str(path)).status is CheckStatus.WARNING


def test_the_soonest_of_several_targets_is_named(tmp_path):
    paths = []
    for days_left in (60, 5, 15):
        (tmp_path / f"{days_left}").mkdir()
        paths.append(file_with(tmp_path / f"{days_left}", issue(days_left=days_left)))

    result = check(*paths)

    assert result.metrics["soonest_target"] == paths[1]
    assert result.metrics["soonest_days"] == pytest.approx(5, abs=0.02)
    assert {reading.target: reading.status for reading in result.readings} == {
        paths[0]: "ok",
        paths[1]: "critical",
        paths[2]: "ok",
    }


def test_links_to_the_file_are_followed_as_certbot_makes_them(tmp_path):
    link = tmp_path / "live.pem"
    link.symlink_to(file_with(tmp_path, issue(days_left=60)))

    assert check(str(link)).status is CheckStatus.OK


# What cannot be read


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (make_fifo, "is no regular file"),
        (make_socket, "cannot be read"),
        (Path.mkdir, "Is a directory"),
        (make_huge_file, "is larger than 4 MiB"),
        (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
        (lambda path: path.symlink_to("/no/such/file"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b""), "holds no certificate that can be parsed"),
        (lambda path: path.write_bytes(b"\x30\x82\xff"), "holds no certificate that can be parsed"),
        (lambda path: path.write_bytes(issue(days_left=9).key_pem), "holds no certificate that can be parsed"),
        (lambda path: path.write_bytes(issue(days_left=9).pem[:300]), "holds no certificate that can be parsed"),
    ],
)
def test_a_file_that_cannot_be_read_is_unknown_and_named_and_the_others_count(
    tmp_path, make: Callable[[Path], None], says: str
):
    bad, good = tmp_path / "bad.pem", file_with(tmp_path, issue(days_left=60))
    make(bad)
    started = time.monotonic()

    result = check(str(bad), good)

    assert time.monotonic() - started < 2
    assert result.status is CheckStatus.UNKNOWN
    assert result.message.startswith(f"{bad} cannot be read: ")
    assert says in result.error
    assert [reading.status for reading in result.readings] == ["unknown", "ok"]
    assert [each["target"] for each in result.metrics["certificates"]] == [good]


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts in /proc")
def test_reading_files_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    targets = [str(tmp_path / "folder"), str(tmp_path / "fifo"), file_with(tmp_path, issue(days_left=60))]
    check(*targets)
    before = len(list(DESCRIPTORS.iterdir()))

    check(*targets)

    assert len(list(DESCRIPTORS.iterdir())) == before


def test_a_file_that_is_closed_to_us_is_unknown(tmp_path):
    path = Path(file_with(tmp_path, issue(days_left=60)))
    path.chmod(0)

    said = as_nobody(lambda: check(str(path)).message)

    assert said == f"{path} cannot be read: Permission denied"


def test_a_server_that_never_speaks_is_unknown_in_time_and_the_others_count(tmp_path):
    started = time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as hole,
        TlsServer(issue(days_left=5), folder=tmp_path) as server,
    ):
        silent = f"127.0.0.1:{hole.getsockname()[1]}"

        result = check(silent, server.address, timeout=1)

        assert time.monotonic() - started < 1
        assert not is_left_behind(silent)
    assert {reading.target: reading.status for reading in result.readings} == {
        silent: "unknown",
        server.address: "critical",
    }
    assert f"{silent} cannot be read: no answer in time" in result.message


def test_a_look_up_that_hangs_is_unknown_in_time_and_the_others_count(tmp_path, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    started = time.monotonic()

    result = check("slow.example.org", file_with(tmp_path, issue(days_left=60)), timeout=0.2)

    assert time.monotonic() - started < 1.5
    over.set()
    assert [reading.status for reading in result.readings] == ["unknown", "ok"]
    assert result.error == "slow.example.org:443 cannot be read: no answer in time"


def test_nobody_listening_is_unknown():
    port = closed_port()

    assert check(f"127.0.0.1:{port}").error == f"127.0.0.1:{port} cannot be read: Connection refused"


def test_a_name_that_does_not_exist_is_unknown():
    result = check("nowhere.invalid")

    assert result.error.startswith("nowhere.invalid:443 cannot be read: ")


def test_a_server_without_tls_is_unknown(http_sink: HttpSink):
    result = check(f"127.0.0.1:{http_sink.port}")

    assert result.status is CheckStatus.UNKNOWN
    assert "cannot be read: TLS failed: " in result.message
    assert "_ssl.c" not in result.message


# Servers


@needs_ipv6
def test_a_server_is_reached_by_ipv6(tmp_path):
    with TlsServer(issue(days_left=60), folder=tmp_path, host="::1") as server:
        [reading] = check(server.address).readings

    assert (reading.status, reading.target) == (CheckStatus.OK, f"[::1]:{server.port}")


def test_a_certificate_for_another_name_and_from_nobody_is_read_all_the_same(tmp_path):
    stranger = issue(days_left=60, common_name="elsewhere.example", names=("elsewhere.example",))

    with TlsServer(stranger, folder=tmp_path) as server:
        result = check(server.address)

    assert result.status is CheckStatus.OK
    assert result.metrics["certificates"][0]["subject"] == "CN=elsewhere.example"


def old_tls(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1


@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="needs an OpenSSL that still speaks TLS 1.1")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_old_server_with_a_weak_key_is_read_all_the_same(tmp_path):
    weak = issue(days_left=5, key=rsa.generate_private_key(65537, 1024))

    with TlsServer(weak, folder=tmp_path, arrange=old_tls) as server:
        result = check(server.address)

    assert result.status is CheckStatus.CRITICAL, result.message


def test_a_server_that_wants_a_certificate_of_ours_is_read_all_the_same(tmp_path):
    issued = issue(days_left=60)

    def mutual(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=issued.pem.decode())

    with TlsServer(issued, folder=tmp_path, arrange=mutual) as server:
        assert check(server.address).status is CheckStatus.OK


def test_a_server_is_asked_for_the_name_that_is_configured(tmp_path):
    default, other = issue(days_left=60), issue(days_left=5, common_name="shop")
    asked: list[str | None] = []

    def by_name(context: ssl.SSLContext) -> None:
        shop = server_context(other, folder=tmp_path)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            asked.append(name)
            if name == "shop.example.org":
                connection.context = shop

        context.sni_callback = choose

    with TlsServer(default, folder=tmp_path, arrange=by_name) as server:
        result = check(server.address, {"target": server.address, "server_name": "shop.example.org"})

    assert set(asked) == {None, "shop.example.org"}
    assert {reading.target: reading.status for reading in result.readings} == {
        server.address: "ok",
        f"{server.address} (shop.example.org)": "critical",
    }


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issued:
    """An authority that this process trusts."""
    authority = issue(days_left=3000, common_name="Our authority")
    path = tmp_path / "authority.pem"
    path.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


@pytest.mark.parametrize(
    ("days_left", "status"), [(60, CheckStatus.OK), (10, CheckStatus.WARNING), (5, CheckStatus.CRITICAL)]
)
def test_with_verify_a_trusted_server_is_judged_by_its_days(tmp_path, trusted, days_left, status):
    with TlsServer(issue(days_left=days_left, issuer=trusted), folder=tmp_path) as server:
        assert check(server.address, verify=True).status is status


@pytest.mark.parametrize(
    ("names", "has_issuer", "says"),
    [
        (("127.0.0.1",), False, "self-signed certificate"),
        (("elsewhere.example",), True, "IP address mismatch"),
    ],
)
def test_with_verify_a_server_that_clients_refuse_is_critical(tmp_path, trusted, names, has_issuer, says):
    issued = issue(days_left=60, names=names, issuer=trusted if has_issuer else None)

    with TlsServer(issued, folder=tmp_path) as server:
        [reading] = check(server.address, verify=True).readings

    assert (reading.status, reading.held) == (CheckStatus.CRITICAL, CheckStatus.CRITICAL)
    assert reading.value == pytest.approx(60, abs=0.02)
    assert "clients fail: TLS certificate refused: " in reading.message
    assert says in reading.message


def test_with_verify_an_incomplete_chain_is_critical(tmp_path, trusted):
    middle = issue(days_left=1000, common_name="Middle", issuer=trusted)

    with TlsServer(issue(days_left=60, issuer=middle), folder=tmp_path) as server:
        result = check(server.address, verify=True)

    assert result.status is CheckStatus.CRITICAL
    assert "unable to get local issuer certificate" in result.message


# Names in certificates


def test_what_cannot_be_shown_in_a_name_is_replaced(tmp_path):
    path = file_with(tmp_path, issue(days_left=60, common_name="evil\nname\u202e"))

    [found] = check(path).metrics["certificates"]

    assert found["subject"] == "CN=evil?name?"


def test_a_name_that_is_no_text_does_not_hide_the_dates(tmp_path):
    path = tmp_path / "certificate.der"
    path.write_bytes(issue(days_left=5, common_name="abcdefgh").der.replace(b"abcdefgh", b"\xff" * 8))

    result = check(str(path))

    assert result.status is CheckStatus.CRITICAL
    assert result.metrics["certificates"][0]["subject"] == "(unreadable)"


def test_a_long_name_is_cut(tmp_path):
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "o" * 60)] * 20)

    [found] = check(file_with(tmp_path, issue(days_left=60, subject=name))).metrics["certificates"]

    assert len(found["subject"]) == 200


def test_metrics_are_stored_as_they_are_for_any_name(tmp_path):
    path = tmp_path / "apiserver-key-token.pem"
    path.write_bytes(issue(days_left=60).pem)

    metrics = check(str(path)).metrics

    assert metrics.keys() == {"certificates", "soonest_days", "soonest_target"}
    assert redact(metrics) == metrics


# Config


def test_without_targets_it_does_not_apply():
    with pytest.raises(NotApplicableError, match=r"^no certificate is named \(config key targets\)$"):
        check()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("example.org", "example.org:443"),
        ("example.org:8443", "example.org:8443"),
        ("10.0.0.1", "10.0.0.1:443"),
        ("[::1]", "[::1]:443"),
        ("[fe80::1%eth0]:8443", "[fe80::1%eth0]:8443"),
        ("/etc/ssl/x.pem", "/etc/ssl/x.pem"),
        ({"target": "10.0.0.1", "server_name": "example.org"}, "10.0.0.1:443 (example.org)"),
    ],
)
def test_targets_are_named_with_their_port(target, name):
    [target] = Certificate.Config.model_validate({"targets": [target]}).targets

    assert target.name == name


@pytest.mark.parametrize(
    "target",
    [
        "",
        "etc/x.pem",
        "https://example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:https",
        "::1",
        "[::1",
        "[]:443",
        "a..b",
        ".example.org",
        "user@example.org",
        "example.org ",
        "exämple.org",
        "/a\x00b",
        "/a\ud800b",
        "/" + "a" * 300,
        443,
        {"target": "example.org", "server_name": "a b"},
        {"target": "example.org", "port": 443},
        {"server_name": "example.org"},
    ],
)
def test_a_target_that_cannot_be_meant_is_refused_by_name(target):
    with pytest.raises(ValidationError, match=r"targets\.0"):
        Certificate.Config.model_validate({"targets": [target]})


def test_thresholds_and_margin_may_be_of_more_than_100_days():
    Certificate.Config(warning_threshold=200, critical_threshold=150, clear=30)


def test_a_warning_threshold_on_the_wrong_side_is_refused_by_name():
    with pytest.raises(ValidationError, match="warning_threshold 3 must not be below critical_threshold 7"):
        Certificate.Config(warning_threshold=3)
