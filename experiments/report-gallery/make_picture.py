"""Write a report and a picture of what a reader sees first; needs Chromium and the packages of '.[browser]'."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from irene.cli.main import run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1200, 1600


def take_picture(report: Path, picture: Path) -> None:
    """The upper part of the page, once its figures are drawn."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("No Chromium on this machine: apt-get install chromium")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=sandbox)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(report.as_uri())
        page.wait_for_selector("#icicle g.slice path")
        page.wait_for_timeout(1000)
        bottom = page.locator("#where").bounding_box()
        assert bottom is not None
        page.screenshot(
            path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom["y"] + bottom["height"] + 14}
        )
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "report.png")
    parser.add_argument("workload", nargs="*", default=["meta-llama/Llama-3.1-8B"], help="as for irene report")
    arguments, rest = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.html"
        code = run(["report", *arguments.workload, *(rest or ["--batch-size", "4"]), "--output", str(report)])
        if code == 0:
            take_picture(report, arguments.output)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
