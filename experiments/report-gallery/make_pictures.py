"""Pictures of a report, a gallery and the page of `irene web`; needs Chromium and the packages of '.[browser]'."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from irene.cli.main import run
from irene.web.pages import form_page
from irene.web.question import Question

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1200, 1600
MOST_BYTES = 150_000
MODELS = (
    "bert-base-uncased", "roberta-large", "deberta-v3-base", "ModernBERT-base", "gpt2-xl", "Llama-3.2-1B",
    "Llama-3.1-8B", "Qwen3-8B", "Mixtral-8x7B-v0.1", "t5-base", "whisper-small", "vit-base-patch16-224",
)  # fmt: skip


def take_picture(browser: Any, page: Path, picture: Path, shows: str, last: str) -> None:
    """The page down to the element `last`, in 256 colours: it is to be small."""
    tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    tab.goto(page.as_uri())
    tab.wait_for_selector(shows)
    bottom = tab.locator(last).bounding_box()
    height = min(HEIGHT, bottom["y"] + bottom["height"] + 14)
    tab.screenshot(path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    tab.close()
    Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    if picture.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{picture} has {picture.stat().st_size:,} bytes, more than {MOST_BYTES:,}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="DIR")
    parser.add_argument("workload", nargs="*", help="of the report, as for irene report")
    given, rest = parser.parse_known_args()
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit("No Chromium on this machine: apt-get install chromium")
    asked = [*given.workload, *rest] or ["meta-llama/Llama-3.1-8B", "--batch-size", "4"]
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        (folder / "page.html").write_text(form_page(Question(model="bert-base-uncased", batch_size=8)), "utf-8")
        for command in (
            ["report", *asked, "--output", str(folder / "report.html")],
            ["gallery", *MODELS, "--output", str(folder)],
        ):
            if code := run(command):
                raise SystemExit(code)
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=found, args=sandbox)
        for page, shows, last in (
            ("report", "#icicle .box", "#where"), ("index", "#count:not(:empty)", "#gallery tr:nth-child(14)"),
            ("page", "form", "fieldset"),
        ):  # fmt: skip
            picture = {"index": "gallery"}.get(page, page)
            take_picture(browser, folder / f"{page}.html", given.output / f"{picture}.png", shows, last)
        browser.close()


if __name__ == "__main__":
    main()
