"""Every value in a notebook: HTML with names escaped, a short repr, rows, and a figure whose joules are the value's."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

import irene
from irene.predictor.prediction import Prediction
from irene.reporting import views

EVIL = "<script>alert(1)</script>"


class Cells(HTMLParser):
    """Tags that were opened, and the text of all cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    tree = replace(irene.trace("bert-tiny", batch_size=8), model=EVIL)
    prediction = irene.predict(tree)
    return {
        "ModelTree": tree,
        "Prediction": prediction,
        "Explanation": irene.explain(prediction),
        "Comparison": irene.compare({EVIL: prediction, "mini": "bert-mini"}, batch_size=8),
        "Sweep": replace(irene.sweep("bert-tiny", batch_sizes=[1, 2], seq_lens=[16, 32]), model=EVIL),
        "GenerationAnswers": irene.predict("gpt2", seq_len=4, new_tokens=2).generation,
    }


NAMES = ("ModelTree", "Prediction", "Explanation", "Comparison", "Sweep", "GenerationAnswers")


@pytest.mark.parametrize("name", NAMES)
def test_html_is_whole_and_escaped(values: dict[str, Any], name: str) -> None:
    html = values[name]._repr_html_()
    parsed = Cells()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == [] and set(parsed.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert "table" in parsed.tags and re.search(r"\d (FLOP|[mu]?J)", parsed.text)
    assert (EVIL in parsed.text) == (name != "GenerationAnswers")


@pytest.mark.parametrize("name", NAMES)
def test_repr_is_short_and_the_figure_has_escaped_names(values: dict[str, Any], name: str) -> None:
    text = repr(values[name])
    assert text.startswith(f"<{name} ") and len(text) < 250 and "\n" not in text
    drawn = values[name].plot().to_dict()
    assert drawn["data"] and EVIL not in str(drawn)
    assert len(values[name].to_frame()) > 0


def test_figures_and_frames_hold_the_joules_of_the_value(values: dict[str, Any]) -> None:
    prediction, comparison, sweep = values["Prediction"], values["Comparison"], values["Sweep"]
    icicle = prediction.plot().data[0]
    assert sum(icicle["values"]) == pytest.approx(prediction.energy_j)  # each row's own, the rest is its children's
    assert icicle["customdata"][0] == pytest.approx(prediction.energy_j)
    bars = comparison.plot().data
    assert sum(bar["y"][1] for bar in bars) == pytest.approx(comparison.entries[1].energy_j)
    assert sum(sum(bar["y"]) for bar in values["Explanation"].plot().data) == pytest.approx(prediction.energy_j)
    assert [list(line["x"]) for line in sweep.plot().data] == [[16, 32], [16, 32]]
    frame = comparison.to_frame()
    assert frame[frame["list"] == "role"]["difference_j"].sum() == pytest.approx(comparison.differences[0].energy_j)
    tree = values["ModelTree"]
    assert sum(tree.plot().data[0]["values"]) == pytest.approx(tree.to_frame()["flop"][0])


def test_compare_predicts_what_is_no_prediction(values: dict[str, Any]) -> None:
    config = irene.load_config("bert-mini")
    found = irene.compare({"given": values["Prediction"], "config": config}, batch_size=8)
    assert isinstance(values["Prediction"], Prediction)
    assert found.entry("config").energy_j == irene.predict("bert-mini", batch_size=8).energy_j
    assert found.entry("given").energy_j == values["Prediction"].energy_j


def test_what_has_no_view_says_so() -> None:
    for view in (views.to_html, views.to_frame, views.to_figure):
        with pytest.raises(TypeError, match="irene has no .* of a int"):
            view(3)
