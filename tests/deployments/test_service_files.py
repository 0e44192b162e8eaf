"""The unit, compose, nginx and cron files name what there is, and hold what their comments promise."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_settings_fields

import deployments
from deployments.stack import Choice, plan
from storage.settings import Settings
from webhook_app.app import create_app

FOLDER = Path(deployments.__file__).parent
UNITS = sorted((FOLDER / "systemd").glob("*.service"))
COMPOSE = FOLDER / "compose"
NGINX = (FOLDER / "nginx/watchkeeper.conf").read_text()
CRON = (FOLDER / "cron/watchkeeper.cron").read_text()
VARIABLE = re.compile(r"\b(?:WATCHKEEPER|PREFECT|ORCHESTRATION)_[A-Z0-9_]+\b")
# Read by Prefect's own entry points, or by systemd and us for the process alone.
OTHERS = {"WATCHKEEPER_WORKER_READY_FILE"}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def our_variables() -> set[str]:
    names = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names |= set(getattr(alias, "choices", [alias] if alias else [f"WATCHKEEPER_{name.upper()}"]))
    return names


def prefect_variables() -> set[str]:
    """The names by which Prefect reads its settings."""
    return set(_get_settings_fields(PrefectSettings))


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, with this environment's command in the place of an installation's."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/watchkeeper/bin/", f"{Path(sys.executable).parent}/")
        (folder / unit.name).write_text(text)
    return folder


@needs_systemd
def test_systemd_finds_no_fault_in_the_units_and_little_exposed(units: Path) -> None:
    paths = sorted(map(str, units.iterdir()))

    verified = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", *paths],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert security.returncode == 0, security.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_stops_no_sooner_than_its_parts_may_take(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    words = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert words
    choice = Choice(**{name: f"--no-{name}" not in words[1] for name in ("server", "web", "worker")})
    settings = Settings(home=tmp_path, database_url="sqlite:///x.db", port=0, prefect_port=0)
    if not choice.server:
        settings = settings.model_copy(update={"prefect_api_url": "http://127.0.0.1:4210/api"})

    parts = plan(settings, choice, {}).parts

    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop
    assert int(stop[1]) >= sum(part.stop_timeout_seconds for part in parts)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_keeps_in_sight_what_the_checkers_look_at(unit: Path) -> None:
    settings = dict(re.findall(r"^([A-Za-z]+)=(.*)$", unit.read_text(), re.MULTILINE))

    blinding = {
        "ProtectProc",
        "ProcSubset",
        "PrivateUsers",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectKernelModules",
    }
    assert not blinding & settings.keys()
    assert settings["ProtectHome"] == "read-only"
    assert (settings["User"], settings["NoNewPrivileges"], settings["ProtectSystem"]) == (
        "watchkeeper",
        "yes",
        "strict",
    )


def test_every_variable_that_a_file_names_is_a_setting() -> None:
    files = [path for part in ("systemd", "compose", "nginx", "cron") for path in (FOLDER / part).rglob("*.*")]
    files.append(COMPOSE / "Dockerfile")
    known = our_variables() | prefect_variables() | OTHERS

    named = {
        (path.name, name.removesuffix("_FROM_FILE"))
        for path in files
        if path.is_file() and "secrets" not in path.parts
        for name in VARIABLE.findall(path.read_text())
    }

    assert {pair for pair in named if pair[1] not in known} == set()


def test_every_command_that_a_file_gives_is_understood() -> None:
    lines = [
        line for unit in UNITS for line in re.findall(r"^ExecStart=\S+ (.*)$", unit.read_text(), re.MULTILINE)
    ]
    lines += re.findall(r"^\S+ \* .*/bin/watchkeeper (.*?) >", CRON, re.MULTILINE)
    services = compose()["services"]
    lines += [
        " ".join(each["command"][1:])
        for each in services.values()
        if each.get("command", [""])[0] == "watchkeeper"
    ]

    assert len(lines) == 7
    for line in lines:
        command, *flags = line.split()
        helped = subprocess.run(
            [sys.executable, "-m", "deployments.cli", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for flag in (word for word in flags if word.startswith("--")):
            assert flag in helped.stdout, line


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return loaded


def test_compose_file_names_nothing_that_it_does_not_hold() -> None:
    loaded = compose()
    services = loaded["services"]

    assert services.keys() == {"postgres", "redis", "prefect", "worker", "receiver"}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        assert set(service.get("secrets", ())) <= loaded["secrets"].keys()
        assert set(service["networks"]) <= loaded["networks"].keys()
        sources = {volume.split(":")[0] for volume in service["volumes"]}
        assert {name for name in sources if not name.startswith("./")} <= loaded["volumes"].keys()
        assert all((COMPOSE / name).exists() for name in sources if name.startswith("./"))
        assert "healthcheck" in service
        used = {value for value in service.get("environment", {}).values() if value.startswith("/run/secrets/")}
        assert {Path(path).name for path in used} <= set(service.get("secrets", ()))


def test_of_the_containers_only_the_receiver_listens_outside_and_behind_a_token() -> None:
    services = compose()["services"]

    published = {name: port for name, each in services.items() for port in each.get("ports", ())}

    assert [name for name, port in published.items() if not port.startswith("127.0.0.1:")] == ["receiver"]
    assert "WATCHKEEPER_WEBHOOK_TOKEN_FROM_FILE" in services["receiver"]["environment"]
    assert compose()["networks"]["inner"] == {"internal": True}


def test_secrets_are_made_once_and_reach_a_command_as_its_settings(tmp_path: Path) -> None:
    for name in ("make-secrets.sh", "entrypoint.sh"):
        shutil.copy(COMPOSE / name, tmp_path / name)
        assert os.access(COMPOSE / name, os.X_OK)

    for _ in range(2):
        subprocess.run([tmp_path / "make-secrets.sh"], check=True, stdout=subprocess.PIPE)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    env = {"PATH": os.environ["PATH"], "WATCHKEEPER_DATABASE_URL_FROM_FILE": f"{tmp_path}/secrets/database_url"}
    command = [
        tmp_path / "entrypoint.sh",
        sys.executable,
        "-c",
        "import os; print(os.environ['WATCHKEEPER_DATABASE_URL'])",
    ]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True)

    assert made.keys() == compose()["secrets"].keys()
    assert made["postgres_password"] in made["database_url"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert said.stdout.strip() == made["database_url"]


def test_nginx_lets_bodies_and_answers_through_as_the_receiver_has_them() -> None:
    settings = Settings()
    megabytes = re.search(r"client_max_body_size (\d+)m;", NGINX)
    seconds = re.search(r"^    proxy_read_timeout (\d+)s;", NGINX, re.MULTILINE)

    assert megabytes
    assert seconds
    assert int(megabytes[1]) * 1024 * 1024 > settings.max_body_bytes
    assert int(seconds[1]) > settings.accept_timeout_seconds
    assert f"server 127.0.0.1:{settings.port};" in NGINX


def test_through_nginx_a_stranger_is_no_one_of_this_machine(tmp_path: Path) -> None:
    """The headers that the example adds are such that the receiver takes for a proxy's."""
    added = dict(re.findall(r"proxy_set_header (\S+) (\S+);", NGINX))
    values = {"$host": "localhost", "$remote_addr": "203.0.113.9", "$scheme": "https"}
    headers = {name: values[value] for name, value in added.items() if value in values}
    client = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}")).test_client()

    assert client.post("/alerts/webhook/generic/", json={"name": "x"}, headers=headers).status_code == 401
    assert client.get("/incidents/", headers=headers).status_code == 401


def test_service_files_are_in_the_wheel() -> None:
    """Packages are taken whole, except what git ignores."""
    root = FOLDER.parent
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, FOLDER.glob("*/*.*"))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert not [line for line in ignored.stdout.splitlines() if "__pycache__" not in line]
