"""The report in a real browser without a network: it opens quickly, zooms on a click, finds layers, fetches nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.predictor.prediction import Prediction
from irene.reporting.report_page import render_report

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MOST_S, MOST_BYTES = 3.0, 7e6


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The Chromium of this machine; nothing is downloaded."""
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
    """A report in a tab that has no network, and everything that went wrong in it."""

    def __init__(self, browser: Any, path: Path, viewport: dict[str, int]) -> None:
        context = browser.new_context(viewport=viewport, offline=True, has_touch=viewport is PHONE)
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        clock = context.new_cdp_session(self.page)
        clock.send("Performance.enable", {"timeDomain": "threadTicks"})
        start = time.perf_counter()
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#icicle g.slice path")
        self.opened_s = time.perf_counter() - start
        metrics = {metric["name"]: metric["value"] for metric in clock.send("Performance.getMetrics")["metrics"]}
        self.cpu_s = float(metrics["TaskDuration"])  # of the page's main thread

    def labels(self) -> list[str]:
        """First lines of the icicle's boxes, the bar of ancestors left out."""
        boxes = self.page.locator("#icicle g.slice:not(.pathbar) text").all_text_contents()
        return [text for text in boxes if text]

    def detail(self) -> str:
        return str(self.page.inner_text("#detail h3"))

    def see_everything(self) -> None:
        """Scroll through the page, so that every figure is drawn."""
        for figure in self.page.locator(".figure").all():
            figure.scroll_into_view_if_needed()
            figure.locator(".main-svg").first.wait_for()

    def close(self, path: Path) -> None:
        assert self.complaints == []
        assert self.requests == [path.as_uri()]
        self.page.context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, bert: Prediction, captured: Prediction) -> Path:
    path = tmp_path_factory.mktemp("report") / "two.html"
    path.write_text(render_report({"eager": bert, "graph": captured}), encoding="utf-8")
    return path


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_figure_is_drawn_and_nothing_is_wider_than_the_screen(
    browser: Any, report: Path, viewport: dict[str, int]
) -> None:
    opened = Opened(browser, report, viewport)
    opened.see_everything()
    assert opened.page.locator(".figure").count() == 5
    assert opened.page.locator("#layer-bars g.point path").count() >= 14
    assert opened.page.locator("#roofline-plot g.points path").count() >= 5
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    opened.close(report)


def test_a_click_zooms_into_the_icicle_and_back(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    page = opened.page
    assert opened.detail() == "BertModel"
    before = opened.labels()
    assert any(text.startswith("BertModel") for text in before)
    page.locator("#icicle g.slice", has_text="attention").first.click()
    page.wait_for_selector("#icicle g.pathbar")
    page.wait_for_function("document.querySelector('#detail h3').innerText === 'attention'")
    page.wait_for_timeout(1000)  # the animation
    after = opened.labels()
    assert any(text.startswith("query") for text in after)
    assert not any(text.startswith("BertModel") for text in after)
    page.locator("#icicle g.pathbar", has_text="BertModel").first.click()
    page.wait_for_function("document.querySelector('#detail h3').innerText === 'BertModel'")
    page.wait_for_timeout(1000)
    assert opened.labels() == before
    opened.close(report)


def test_search_finds_one_layer_of_twelve(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    page = opened.page
    page.fill("#search", "layer.7.attention.self.query")
    first = page.locator("#hits li").first
    assert first.inner_text().startswith("encoder.layer.0-11.attention.self.query")
    page.press("#search", "Enter")
    page.wait_for_function("document.querySelector('#detail h3').innerText === 'query'")
    page.wait_for_timeout(500)
    strokes = page.eval_on_selector_all(
        "#icicle g.slice:not(.pathbar) path", "paths => paths.map(path => getComputedStyle(path).stroke)"
    )
    assert strokes.count("rgb(0, 0, 0)") == 1  # the frame around what was found
    page.fill("#search", "layer.3.output.LayerNorm")  # from one zoomed place to another
    page.press("#search", "Enter")
    page.wait_for_function("document.querySelector('#detail h3').innerText === 'LayerNorm'")
    page.wait_for_timeout(1000)
    page.fill("#search", "layer.12")  # BERT has layers 0 to 11
    assert page.locator("#hits").inner_text() == "Nothing by that name."
    opened.close(report)


def test_a_bar_leads_to_its_box_and_a_tab_to_its_model(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, DESKTOP)
    page = opened.page
    page.locator("#layer-bars").scroll_into_view_if_needed()
    page.wait_for_selector("#layer-bars g.point path")
    page.locator("#layer-bars g.trace").first.locator("path").nth(4).hover(force=True)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelector('#detail h3').innerText.startsWith('layer.0-11')")
    page.get_by_role("tab", name="graph").click()
    assert page.locator(".hero-card:visible").count() == 1
    assert "cuda_graph" in page.locator(".hero-card:visible").inner_text()
    assert opened.detail() == "BertModel"
    opened.close(report)


def test_words_explain_themselves(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, PHONE)
    term = opened.page.locator(".hero-card .legend .term", has_text="launch gap").first
    term.tap()
    assert "waits for the host" in opened.page.inner_text("#tip")
    opened.close(report)


def test_llama_405b_opens_in_three_seconds(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "llama.html"
    prediction = irene.predict("meta-llama/Llama-3.1-405B", seq_len=2048)
    path.write_text(render_report({"Llama-3.1-405B": prediction}), encoding="utf-8")
    assert path.stat().st_size < MOST_BYTES
    opened_s, cpu_s = [], []
    for _ in range(5):
        opened = Opened(browser, path, DESKTOP)
        opened.close(path)
        opened_s.append(opened.opened_s)
        cpu_s.append(opened.cpu_s)
        if opened.opened_s < MOST_S:
            return
    # Where other processes want every core too, the page is judged by its own processor time.
    assert min(cpu_s) < MOST_S and min(opened_s) < 3 * MOST_S, (opened_s, cpu_s)
