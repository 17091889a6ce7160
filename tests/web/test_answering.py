"""What a worker answers: the joules that `irene.predict` says, lines instead of tracebacks, no path of this machine."""

from __future__ import annotations

import json

import pytest

import irene
from irene.web.answering import answer
from irene.web.pages import form_page
from irene.web.question import Question, read_question
from tests.reporting.test_report_page import Reader, text_of

CONFIG = json.dumps({"model_type": "gpt2", "n_layer": 3, "n_embd": 128, "n_head": 2})


def test_the_joules_are_those_of_predict() -> None:
    found = answer(read_question({"model": "bert-tiny", "variant": "layers:1", "batch_size": "8"}), "json")
    said = json.loads(found.text)
    assert found.status == 200 and said["model"] == "bert-tiny+layers:1"
    assert said["energy_j"] == irene.predict("bert-tiny+layers:1", batch_size=8).energy_j


def test_a_report_leads_back_to_its_question() -> None:
    found = answer(read_question({"model": "bert-tiny", "batch_size": "8"}), "html")
    assert found.status == 200
    assert "/?model=bert-tiny&batch_size=8" in Reader(found.text).addresses
    assert "Another question" in text_of(found.text)


def test_a_report_says_what_the_asked_changes_would_do() -> None:
    """Those of the very question: of its variant, its batch and its device."""
    question = read_question({"model": "bert-tiny", "variant": "layers:1", "batch_size": "8", "device": "l4"})
    why = irene.explain("bert-tiny+layers:1", batch_size=8, device="l4")
    words = text_of(answer(question, "html").text)
    assert why.counterfactuals and "What would change it" in words
    for each in why.counterfactuals:
        assert f"{each.change} {each.ratio_for('token')[0]:.2f} times" in words


def test_a_config_that_was_sent_is_predicted_and_its_folder_not_shown() -> None:
    question = read_question({"variant": "layers:2"}, CONFIG.encode())
    page, said = answer(question, "html"), answer(question, "json")
    assert page.status == said.status == 200
    assert "config.json+layers:2" in text_of(page.text) and "What would change it" in text_of(page.text)
    assert "/tmp" not in page.text + said.text


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"model_type": "no-such-type"}', '{"model_type": "gpt2", "n_layer": 1e9}']
)
def test_a_bad_config_is_one_line_without_a_path(config: str) -> None:
    found = answer(Question(config=config), "html")
    assert found.status == 400
    assert "/tmp" not in found.text and "Traceback" not in found.text and len(found.text.splitlines()) <= 2


def test_the_form_keeps_what_was_asked_and_obeys_no_name() -> None:
    evil = '"><script>alert(1)</script>'
    page = form_page(Question(model=evil, variant=evil, batch_size=7), f"No {evil}")
    assert "<script>alert" not in page and 'value="7"' in page
    assert evil in text_of(page)
    plain = form_page(Question(model="gpt2", device="a100-sxm-80gb", dtype="float16"))
    assert 'value="gpt2"' in plain
    assert '<option value="a100-sxm-80gb" selected>' in plain and '<option value="float16" selected>' in plain
