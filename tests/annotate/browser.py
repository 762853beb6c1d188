"""A real Chromium, and pages that fail the test on any error that they log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """The path of a Chromium, or skip the test: `TAMIS_TEST_CHROMIUM`, else one in the PATH."""
    path = os.environ.get("TAMIS_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium: install it, or set TAMIS_TEST_CHROMIUM to its path")
    return path


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a browser of its own; `errors` holds what it logged: failed scripts, breaches of the content policy.

    Pages change without a fade, as for people who want little motion, unless `options` say otherwise.
    """

    def __init__(self, browser: Any, address: str, person: str, **options: Any) -> None:
        self.address = address
        self.person = person
        options = {"viewport": {"width": 1280, "height": 720}, "reduced_motion": "reduce"} | options
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.errors: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _heard(self, message: Any) -> None:
        # The browser itself logs each request that did not reach the server; those a test causes on purpose.
        if message.type in ("error", "warning") and "net::ERR_" not in message.text:
            self.errors.append(message.text)

    def open(self, path: str = "", waits_for: str = "body[data-sample]") -> None:
        """Go to a page of the application as the person."""
        joiner = "&" if "?" in path else "?"
        self.page.goto(f"{self.address}{path}{joiner}person={self.person}")
        self.page.wait_for_selector(waits_for)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, without waiting for anything."""
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def sample(self) -> str:
        """The public id of the sample on the screen."""
        return str(self.page.evaluate("document.body.dataset.sample"))

    def wait_saved(self) -> None:
        """Wait until nothing is on its way to the server."""
        self.page.wait_for_selector(".saved[data-state=saved]")

    def text(self, selector: str) -> str:
        """What an element says."""
        return str(self.page.locator(selector).first.inner_text())
