"""The example for cron where no token is needed."""

import os
import subprocess
from pathlib import Path

from sinks import HttpSink

CRON = Path(__file__).parents[2] / "webhook_app" / "vendor" / "generic_cron.sh"


def test_cron_example_works_without_a_token(http_sink: HttpSink) -> None:
    done = subprocess.run(
        ["/bin/sh", str(CRON), "nightly", "sh", "-c", "exit 3"],
        env={"PATH": os.environ["PATH"], "WATCHKEEPER_URL": http_sink.url},
        capture_output=True,
        check=False,
        timeout=30,
    )

    [request] = http_sink.wait_for(1)
    assert (done.returncode, done.stderr) == (3, b"")
    assert "Authorization" not in request.headers
