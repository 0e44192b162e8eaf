"""A real browser for the console's tests: Debian's Chromium, driven by Playwright."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import waitress
from flask import Flask
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str:
    """Where Chromium is. Skips the test where there is none; CI has one, and fails without."""
    path = next((found for name in NAMES if (found := shutil.which(name))), "")
    if not path and os.environ.get("CI"):
        pytest.fail("no Chromium, which .ci/run installs")
    if not path:
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    return path


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless browser."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """The app on a port of this machine, as its users reach it; gives the URL."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join(timeout=10)
