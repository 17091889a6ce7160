"""The page as text: self-contained, escaped, small, and with the answer in it before any script runs."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

import irene
from irene.predictor.prediction import Prediction
from irene.quoting import escape_controls
from irene.reporting.footprint import read_facility
from irene.reporting.report_page import render_report
from irene.scenarios import Scenario, predict_pentathlon
from irene.units import format_quantity


class Reader(HTMLParser):
    """Collects addresses that a browser would fetch, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._quiet = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet = tag if tag in ("script", "style", "title") else ""
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "poster")]

    def handle_endtag(self, tag: str) -> None:
        self._quiet = ""

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.words.append(data)


def text_of(page: str) -> str:
    return " ".join(" ".join(Reader(page).words).split())


def test_nothing_is_fetched_and_the_file_is_small(bert: Prediction) -> None:
    page = render_report({"bert": bert})
    addresses = Reader(page).addresses
    assert all(address.startswith("#") or address == "data:," for address in addresses)
    assert "default-src 'none'" in page
    assert "@import" not in page and "url(" not in page[: page.index("<script")]
    assert len(page.encode()) < 2e6


def test_the_answer_needs_no_script(bert: Prediction) -> None:
    words = text_of(render_report({"bert": bert}))
    for part in ("bert-base-uncased", "90 % interval", "mean power", "per token", "launch gap", "NVIDIA H200"):
        assert part in words
    low, high = bert.interval_j
    assert f"{1e3 * low:.3g} mJ" in words and f"{high:.3g} J" in words
    assert "CO2" not in words and "Comparison" not in words


def test_grams_and_money_when_asked(bert: Prediction) -> None:
    words = text_of(render_report({"bert": bert}, read_facility("FR", 0.25, 1.2)))
    assert "gCO2e" in words and "France 2024" in words and "PUE 1.2" in words


def test_names_cannot_leave_their_place(bert: Prediction) -> None:
    evil = "</script><img src=x onerror=alert(1)>$css\x1b[2J\u202e\x9b"
    tree = dataclasses.replace(bert.tree, model=evil, notes=(evil,))
    predictor = dataclasses.replace(bert.predictor, name=evil)
    page = render_report({evil: dataclasses.replace(bert, tree=tree, predictor=predictor), "b": bert})
    assert "x" not in Reader(page).addresses
    assert escape_controls(evil) in text_of(page)  # shown, but for what would command a terminal
    assert page.replace("\n", "").isprintable()
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert [model["name"] for model in json.loads(found[1])["models"]] == [evil, "b"]


def test_several_models_are_compared(bert: Prediction, captured: Prediction) -> None:
    words = text_of(render_report({"eager": bert, "graph": captured}))
    assert "Comparison" in words and "against eager" in words
    assert f"{captured.energy_j / bert.energy_j:.3g} times" in words


def test_a_comparison_brings_intervals_and_contributions(bert: Prediction, captured: Prediction) -> None:
    part = {"label": "feed_forward", "aligned_by": "role", "base_j": 1.0, "other_j": None, "difference_j": -1.0}
    same = part | {"label": "norm", "other_j": 1.0, "difference_j": 1e-14}
    pair = {
        "base": "eager", "other": "graph", "energy_j": -1.0, "ratio": 0.4, "interval_ratio": [0.3, 0.5],
        "is_significant": True, "by_role": [part, same],
    }  # fmt: skip
    words = text_of(render_report({"eager": bert, "graph": captured}, None, {"differences": [pair], "notes": ["mind"]}))
    assert "0.4 times 0.3 to 0.5, differs" in words
    assert "feed forward 1 J – −1 J norm 1 J 1 J 0 J all 2 J 1 J −1 J" in words
    assert "mind" in words


def test_a_generation_has_phases_and_several_boards_are_not_one() -> None:
    prediction = irene.predict("gpt2", task="causal-lm", seq_len=16, new_tokens=4, gpus=2)
    words = text_of(render_report({"gpt2": prediction}))
    assert "on 2 NVIDIA H200" in words and "on one" not in words
    assert "of the 1400 W cap of all" in words  # two boards
    first, then = prediction.phases
    assert prediction.memory_bytes is not None
    for joules in (first.energy_j, then.energy_j):
        assert format_quantity(joules, "J") in words
    assert f"decode 3 {format_quantity(then.energy_j, 'J')}" in words
    assert f"{format_quantity(prediction.memory_bytes['peak'], 'B')} of the" in words
    assert "The first token comes after" in words


@pytest.mark.filterwarnings("ignore:.* do not fit into:UserWarning")
def test_what_does_not_fit_is_said() -> None:
    prediction = irene.predict("meta-llama/Llama-3.1-405B", seq_len=8)
    assert "does not fit into the 141 GB" in text_of(render_report({"llama": prediction}))


def test_the_same_prediction_gives_the_same_page(bert: Prediction) -> None:
    assert render_report({"bert": bert}) == render_report({"bert": bert})


def test_what_a_change_would_do_stands_with_its_model(bert: Prediction) -> None:
    why = irene.explain("bert-base-uncased", batch_size=8)
    evil = dataclasses.replace(why, not_asked=("<img src=x>: no",))
    page, plain = render_report({"a": bert, "b": bert}, explanations={"b": evil}), render_report({"a": bert, "b": bert})
    assert page.index("<h1>", page.index("<h1>") + 1) < page.index("What would change it")  # in the second's card
    words = text_of(page)
    best = min(why.counterfactuals, key=lambda change: change.ratio_for("token")[0])
    ratio, low, high = best.ratio_for("token")
    saves = f"{best.change} takes {ratio:.2f} times the joules of a token"
    assert f"What would change it: {saves}" in words and f"{ratio:.2f} times {low:.2f} to {high:.2f} yes" in words
    for each in why.counterfactuals:
        assert f"{each.change} {each.ratio_for('token')[0]:.2f} times" in words
        assert f"{each.ratio:.2f} times {format_quantity(each.energy_j, 'J')}" in words
    assert "Not asked: <img src=x>: no" in words and "x" not in Reader(page).addresses
    assert "What would change" not in plain and 0 < len(page) - len(plain) < 4000


def test_where_nothing_can_be_changed_nothing_is_said(bert: Prediction) -> None:
    why = irene.explain(bert)
    assert render_report({"bert": bert}, explanations={"bert": why}) == render_report({"bert": bert})
    tiny = irene.explain("bert-tiny")
    unsure = tuple(dataclasses.replace(change, is_significant=False) for change in tiny.counterfactuals)
    page = render_report({"tiny": bert}, explanations={"tiny": dataclasses.replace(tiny, counterfactuals=unsure)})
    assert "<summary>What would change it</summary>" in page


def test_streams_stand_in_the_page_when_asked(bert: Prediction) -> None:
    stream = predict_pentathlon("bert-tiny", Scenario(name="fixed_batch", instances=8, batch_size=4), lengths="8")
    named = dataclasses.replace(stream, model="<b>tiny</b>")
    page = render_report({"bert": bert}, pentathlons=[named])
    assert "Under streams of requests" in text_of(page) and 'href="#pentathlon"' in page
    assert "fixed_batch: 8 instances, batches of 4, tokens 8" in text_of(page)
    assert "&lt;b&gt;tiny" in page and "<b>tiny" not in page
    assert format_quantity(stream.value("throughput_per_s") or 0.0, "/s") in text_of(page)
    assert "Under streams" not in text_of(render_report({"bert": bert}))
