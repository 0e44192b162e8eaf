"""The demo, as `make demo` runs it."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from stack import wait_until


@pytest.mark.stack
def test_demo_shows_the_whole_way_and_leaves_nothing_behind_after_ctrl_c(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("watchkeeper-demo-*"))
    output = tmp_path / "demo.txt"
    home = tmp_path / "installation"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "demo"],
            env={**os.environ, "WATCHKEEPER_HOME": str(home)},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    wait_until(
        lambda: "stop with Ctrl-C" in output.read_text() or process.poll() is not None,
        120,
        what="the demo to be through",
    )
    assert process.poll() is None, output.read_text()
    children = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)

    assert process.wait(90) == 0
    said = output.read_text()
    for expected in (
        "answered 202",
        "the sink received: [FIRING] critical: FilesystemAlmostFull on db-03.lan",
        "pipeline full: NOTIFIED",
        "INGEST",
        "NOTIFY",
        "incident 1",
        "/runs/flow-run/",
        "/orchestration/pipeline/",
        "/admin/incidents/details/?id=1",
    ):
        assert expected in said
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert set(Path(tempfile.gettempdir()).glob("watchkeeper-demo-*")) <= before
    assert not home.exists()
