"""The gate: which ratio decides, by which measure, and what may be typed."""

from __future__ import annotations

import pytest

import irene
from irene.errors import BadInput
from irene.explanation.comparison import Comparison
from irene.explanation.gate import check_gate, read_limit
from irene.reporting.comparison_markdown import MARK, comparison_to_markdown


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    small = irene.predict("bert-tiny", batch_size=4, seq_len=32)
    wide = irene.predict("bert-mini", batch_size=4, seq_len=32)
    return irene.compare({"small": small, "wide|<b>": wide, "again": small})


def test_every_other_entry_is_held_against_the_first(comparison: Comparison) -> None:
    ratio = comparison.difference("small", "wide|<b>").ratio
    gate = check_gate(comparison, ratio - 1 - 1e-9)
    assert [(check.other, check.failed) for check in gate.checks] == [("wide|<b>", True), ("again", False)]
    assert gate.failed and not check_gate(comparison, ratio - 1 + 1e-9).failed
    assert gate.to_json()["failed"] is True and gate.to_json()["checks"][0]["ratio"] == ratio
    assert "larger than the uncertainty" in gate.lines()[0] and "within the uncertainty" in gate.lines()[1]


def test_another_amount_of_work_is_held_by_token() -> None:
    one, two = (irene.predict("bert-tiny", batch_size=size, seq_len=32) for size in (1, 4))
    gate = check_gate(irene.compare({"one": one, "four": two}), 0.0)
    assert gate.measure == "energy_per_token_j" and not gate.failed
    assert gate.checks[0].ratio == pytest.approx(two.energy_j / one.energy_j / 4)


@pytest.mark.parametrize("text", ["5", "-1%", "five", "nan", "inf%", "5%%", "5% more", ""])
def test_a_limit_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--fail-above"):
        read_limit(text)


def test_markdown_says_verdict_and_escapes_names(comparison: Comparison) -> None:
    text = comparison_to_markdown(comparison, check_gate(comparison, 0.05), for_github=True)
    assert text.startswith(MARK) and "**Failed** `--fail-above 5%`" in text and "<details>" in text
    assert "<b>" not in text and r"wide\|&lt;b&gt;" in text
    plain = comparison_to_markdown(comparison)
    assert MARK not in plain and "<details>" not in plain and "Failed" not in plain
    rows = [line for line in plain.splitlines() if line.startswith("|")]
    for row, above in zip(rows[1:], rows, strict=False):
        if set(above) <= set("| -:"):
            assert row.replace(r"\|", "").count("|") == above.count("|")
