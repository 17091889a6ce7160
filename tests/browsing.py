"""A page in a real browser, and all that goes wrong in it; the Chromium of this machine, nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def launched() -> Iterator[Any]:
    """The browser for a test, which is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install '.[browser]'")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has no sandbox
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=sandbox)
        yield started
        started.close()


class Opened:
    """A page in a tab of its own, by default without a network."""

    def __init__(
        self, browser: Any, address: str, viewport: dict[str, int], *, offline: bool = True, shows: str = "body",
        **options: Any,
    ) -> None:  # fmt: skip
        context = browser.new_context(viewport=viewport, offline=offline, has_touch=viewport is PHONE, **options)
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)  # ms: a machine may be busy
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        clock = context.new_cdp_session(self.page)
        clock.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.goto(address)
        self.page.wait_for_selector(shows)
        metrics = {metric["name"]: metric["value"] for metric in clock.send("Performance.getMetrics")["metrics"]}
        self.cpu_s = float(metrics["TaskDuration"])  # of the page's main thread

    def width_px(self) -> int:
        """How wide the page is, what scrolls sideways included."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def close(self) -> None:
        """Nothing may have gone wrong by now."""
        assert self.complaints == []
        self.page.context.close()
