"""Markdown and model card: tables that a reader of CommonMark takes for tables, front matter that YAML reads."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

import irene
from irene.predictor.prediction import Prediction
from irene.reporting.footprint import footprint_of, read_facility
from irene.reporting.markdown import prediction_to_markdown, prediction_to_model_card
from tests.tracing.tiny_models import tiny_config


def tables_of(text: str) -> list[list[list[str]]]:
    """Cells of each table."""
    tables: list[list[list[str]]] = []
    is_inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            if not is_inside:
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        is_inside = line.startswith("|")
    return tables


def test_tables_are_rectangular_and_shares_add_up(bert: Prediction) -> None:
    summary, parts = tables_of(prediction_to_markdown(bert))
    assert {len(row) for row in summary} == {2}
    assert {len(row) for row in parts} == {4}
    by_name = dict(summary)
    assert re.fullmatch(r"\*\*[0-9.]+ m?J\*\*", by_name["Energy of one forward pass"])  # bold, not escaped
    assert by_name["Workload"] == "batch 8, 128 tokens, bfloat16, base, eager"
    assert "carbon" not in str(summary).lower()
    top = [float(row[2].rstrip("%")) for row in parts[2:] if row[0].count("&nbsp;") == 2]
    assert sum(top) == pytest.approx(100, abs=2)  # parts below 1 % are left out


def test_grams_and_money_only_when_asked(bert: Prediction) -> None:
    facility = read_facility("56", 0.25, 1.2)
    summary = dict(tables_of(prediction_to_markdown(bert, facility))[0])
    assert summary["Carbon of 1,000,000 calls"].endswith("gCO2e")
    assert "56 gCO2e/kWh" in summary["Assumed"] and "PUE 1.2" in summary["Assumed"]


def test_front_matter_is_what_the_hub_documents(bert: Prediction) -> None:
    facility = read_facility("FR", None, None)
    assert facility is not None
    _, front, body = prediction_to_model_card(bert, facility).split("---\n", 2)
    fields = yaml.safe_load(front)["co2_eq_emissions"]
    # https://huggingface.co/docs/hub/model-cards-co2
    assert set(fields) <= {"emissions", "source", "training_type", "geographical_location", "hardware_used"}
    assert "training_type" not in fields and "not training" in fields["source"]
    assert fields["emissions"] == pytest.approx(footprint_of(bert.energy_j, facility).carbon_g, rel=1e-3)
    assert fields["geographical_location"] == "France"
    assert "H200" in fields["hardware_used"]
    assert "## Energy of inference" in body


def test_without_a_carbon_intensity_there_are_no_grams(bert: Prediction) -> None:
    card = prediction_to_model_card(bert)
    assert not card.startswith("---")
    assert "co2" not in card.lower()


def test_names_of_others_are_no_markup(prediction: Prediction) -> None:
    hostile = "a`<img src=x>|[x](javascript:1)\n# top\x1b[2J"
    tree = replace(prediction.tree, model=hostile, root=replace(prediction.tree.root, type=hostile))
    named = replace(prediction, tree=tree, predictor=replace(prediction.predictor, name=hostile))
    text = prediction_to_markdown(named)
    title, rest = text.split("\n", 1)
    assert title == "### Predicted energy of `a'<img src=x>|[x](javascript:1)\\n# top\\x1b[2J`"  # in a span of code
    assert "<img" not in rest and "\\[x\\](javascript" in rest and "\x1b" not in text and "\n# top" not in text
    unescaped = re.sub(r"\\.", "", rest)
    assert {line.count("|") for line in unescaped.splitlines() if line.startswith("| ") and "J" in line} <= {3, 5}


def test_a_generation_shows_its_phases() -> None:
    made = irene.predict(tiny_config("gpt2"), seq_len=8, new_tokens=4)
    _, phases, parts = tables_of(prediction_to_markdown(made))
    assert [row[0] for row in phases] == ["phase", "---", "prefill", "decode (x3)", "a token"]
    assert {len(row) for row in phases} == {5} and {len(row) for row in parts} == {4}
