"""The gallery in a real browser: it sorts and filters, keeps both in its address, and leads to its reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irene.predictor.prediction import Prediction
from irene.reporting.gallery import gallery_row, render_gallery
from irene.reporting.report_page import render_report
from tests.browsing import DESKTOP, PHONE, Opened, launched

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bert: Prediction) -> Path:
    folder = tmp_path_factory.mktemp("site")
    row = gallery_row("b-middle", "one input", bert, "b.html")
    rows = [
        row,
        replace(row, model="a-large", energy_j=20.0, asked="batch of 32"),
        replace(row, model="c-small", energy_j=0.003, power_w=None),
    ]
    (folder / "index.html").write_text(render_gallery(rows, "NVIDIA H200"), "utf-8")
    (folder / "b.html").write_text(render_report({"b": bert}), "utf-8")
    return folder / "index.html"


def models(opened: Opened) -> list[str]:
    return list(opened.page.locator("#gallery tbody tr:visible td:first-child").all_inner_texts())


def test_sorting_and_filtering_stay_in_the_address(browser: Any, site: Path) -> None:
    opened = Opened(browser, site.as_uri(), DESKTOP)
    page = opened.page
    assert models(opened) == ["b-middle", "a-large", "c-small"]
    page.click("th:has-text('energy') button")
    assert models(opened) == ["a-large", "b-middle", "c-small"]  # 20 J, 0.8 J, 3 mJ: by number, not by text
    page.click("th:has-text('energy') button")
    assert models(opened) == ["c-small", "b-middle", "a-large"]
    for _ in range(2):  # what has no power comes last, up and down
        page.click("th:has-text('mean power') button")
        assert models(opened)[-1] == "c-small"
    page.click("th:has-text('model') button")
    page.select_option("#asked", "one input")
    assert models(opened) == ["b-middle", "c-small"]
    page.fill("#find", "small")
    assert models(opened) == ["c-small"] and page.inner_text("#count") == "1 of 3 rows"
    link = page.evaluate("location.hash")
    opened.close()
    again = Opened(browser, site.as_uri() + link, DESKTOP)
    assert models(again) == ["c-small"]
    again.page.fill("#find", "")
    assert models(again) == ["b-middle", "c-small"]
    again.close()


def test_a_name_leads_to_its_report_also_on_a_phone(browser: Any, site: Path) -> None:
    opened = Opened(browser, site.as_uri(), PHONE)
    assert opened.width_px() <= PHONE["width"]
    opened.page.get_by_role("link", name="b-middle").click()
    opened.page.wait_for_selector("#icicle .box")
    opened.close()
