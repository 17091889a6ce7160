"""Printed explanations and comparisons: their text, and that what they show adds up."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from irene.explanation.comparing import compare
from irene.explanation.explaining import explain_prediction
from irene.predictor.prediction import Prediction
from irene.reporting.comparison_markdown import comparison_to_markdown
from irene.reporting.comparison_table import comparison_table, contribution_rows, fold_contributions
from irene.reporting.explanation_table import explanation_table, portion_rows
from irene.reporting.rendering import render

EXPLAINED = """\
tiny: batch 2, 4 tokens, bfloat16, base, eager on h200
energy     113 J   90 % interval 90.4 J to 147 J
time       113 ms, 700 W
bound      host bound: waits for the host 100% of the time
goes to    compute 50.0%, memory 25.0%, static 12.5%, launch gap 12.5%
ridge      206 FLOP/B in bfloat16; the model does 10
predictor  test 1
note       by hand

Nodes at depth 1, most energy first
where                  energy   share         each   power   FLOP/B   bound   why
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────
shared@0-2               66 J   58.4%     3 x 22 J   700 W       10    host   waits for the host 100% of the time
linear#0-1               33 J   29.2%   2 x 16.5 J   700 W       10    host   waits for the host 100% of the time
layers.0-1               14 J   12.4%      2 x 7 J   700 W       10    host   waits for the host 100% of the time
(1 others)                0 J    0.0%

Layers
where                  energy   share   each   power   FLOP/B   bound   why
───────────────────────────────────────────────────────────────────────────────────────────────────────────
shared@1                 22 J   19.5%          700 W       10    host   waits for the host 100% of the time
shared@2                 28 J   24.8%          700 W       10    host   waits for the host 100% of the time
(Tiny itself)            33 J   29.2%          700 W       10    host   waits for the host 100% of the time
(3 others)               30 J   26.5%

Kinds of primitives
where                  energy   share         each   power   FLOP/B   bound   why
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────
gemm                     68 J   60.2%   7 x 9.71 J   700 W       10    host   waits for the host 100% of the time
elementwise              45 J   39.8%      5 x 9 J   700 W       10    host   waits for the host 100% of the time
view                      0 J    0.0%      5 x 0 J       -        -       -   launches nothing
"""
COMPARED = """\
all: batch 2, 4 tokens, bfloat16, base, eager on h200
one: tiny
two: tiny

name                   energy     90 % interval     time   power   a sample   a token    bound   rank
─────────────────────────────────────────────────────────────────────────────────────────────────────
one                     113 J   90.4 J to 147 J   113 ms    1 kW     56.5 J    14.1 J   memory      1
two                     226 J    181 J to 294 J   113 ms    2 kW      113 J    28.2 J   memory      2
ranked by joules a call, least first

                                                                                          larger than
pair                   difference       90 % interval   ratio (90 % interval)   a token   uncertainty
─────────────────────────────────────────────────────────────────────────────────────────────────────
two - one                  +113 J   +47.3 J to +206 J      x 2 (1.42 to 2.82)       x 2           yes

two - one = +113 J, by role
where                  base   other   difference   of it   aligned by
─────────────────────────────────────────────────────────────────────
embeddings             66 J   132 J        +66 J   58.4%         role
other                  47 J    94 J        +47 J   41.6%         role

two - one = +113 J, by layer
where                  base   other   difference   of it   aligned by
─────────────────────────────────────────────────────────────────────
layers.0                4 J     8 J         +4 J    3.5%         path
layers.1               10 J    20 J        +10 J    8.8%         path
shared@0               16 J    32 J        +16 J   14.2%         path
shared@1               22 J    44 J        +22 J   19.5%         path
shared@2               28 J    56 J        +28 J   24.8%         path
dropout                 0 J     0 J          0 J    0.0%         path
(Tiny itself)          33 J    66 J        +33 J   29.2%         path
note: by hand
"""


@pytest.fixture
def doubled(prediction: Prediction) -> Prediction:
    names = [f.name for f in dataclasses.fields(prediction.values) if f.name.endswith("_j")]
    values = replace(prediction.values, **{name: 2 * getattr(prediction.values, name) for name in names})
    return replace(prediction, values=values)


def test_golden_explanation(prediction: Prediction) -> None:
    explanation = explain_prediction(prediction, depth=1)
    assert render(explanation_table(explanation, top=3)) + "\n" == EXPLAINED
    for name in ("node", "layer", "kind"):
        rows = [row for row in portion_rows(explanation) if row["list"] == name]
        assert sum(row["energy_j"] for row in rows) == pytest.approx(prediction.energy_j)
        for row in rows:
            parts = sum(row[f"{part}_j"] for part in ("compute", "memory", "static", "launch_gap"))
            assert parts == pytest.approx(row["energy_j"])


def test_golden_comparison(prediction: Prediction, doubled: Prediction) -> None:
    comparison = compare({"one": prediction, "two": doubled}, shared_errors={})
    assert render(comparison_table(comparison)) + "\n" == COMPARED
    for name in ("layer", "role"):
        rows = [row for row in contribution_rows(comparison) if row["list"] == name]
        assert sum(row["difference_j"] for row in rows) == pytest.approx(prediction.energy_j)


def test_folding_contributions_keeps_their_sum(prediction: Prediction, doubled: Prediction) -> None:
    (difference,) = compare({"one": prediction, "two": doubled}).differences
    folded = list(fold_contributions(difference.by_layer))
    assert sum(part.difference_j for part in folded) == pytest.approx(difference.energy_j)
    same = [replace(part, base_j=1.0, other_j=2.0, difference_j=1.0) for part in difference.by_layer[:2]]
    (one,) = fold_contributions(same)
    assert (one.label, one.base_j, one.other_j, one.difference_j) == ("layers.0-1 (x2)", 2.0, 4.0, 2.0)


def test_what_rounding_leaves_of_no_difference_is_shown_as_none(prediction: Prediction) -> None:
    compared = compare({"one": prediction, "same": prediction}, shared_errors={})
    (pair,) = compared.differences
    parts = tuple(replace(part, difference_j=1.28e-15) for part in pair.by_role)
    noisy = replace(pair, energy_j=-3e-14, by_role=parts, by_layer=(*parts, replace(parts[0], difference_j=2e-7)))
    for text in (
        render(comparison_table(replace(compared, differences=(noisy,)))),
        comparison_to_markdown(replace(compared, differences=(noisy,))),
    ):
        assert "e-1" not in text and "+0 J" not in text and "-0 J" not in text
        assert "+200 nJ" in text  # a billionth of 113 J is less


def test_images_are_counted_by_the_sample(prediction: Prediction, doubled: Prediction) -> None:
    images, more = (replace(p, tree=p.tree.with_workload(seq_len=None)) for p in (prediction, doubled))
    text = render(comparison_table(compare({"one": images, "two": more})))
    assert "a sample   uncertainty" in text
