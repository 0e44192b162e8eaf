"""prefect.toml names settings that Prefect has: a misspelt one would be ignored without a word."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def test_prefect_reads_every_setting_of_the_file() -> None:
    wanted = tomllib.loads((ROOT / "prefect.toml").read_text())
    program = "import prefect.settings as s; print(s.get_current_settings().model_dump_json())"
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )

    missing = list(differences(wanted, json.loads(result.stdout), "prefect.toml"))

    assert missing == []


def differences(wanted: dict[str, Any], have: dict[str, Any], place: str) -> Any:
    for key, value in wanted.items():
        if key not in have:
            yield f"{place}.{key}: no such setting"
        elif isinstance(value, dict):
            yield from differences(value, have[key], f"{place}.{key}")
        elif isinstance(have[key], str) and have[key].startswith("P") and isinstance(value, int):
            if have[key] not in {f"P{value // 86400}D", f"PT{value}S"}:
                yield f"{place}.{key}: {value} s became {have[key]}"
        elif (
            sorted(map(str, value)) != sorted(map(str, have[key]))
            if isinstance(value, list)
            else value != have[key]
        ):
            yield f"{place}.{key}: {value} became {have[key]}"
