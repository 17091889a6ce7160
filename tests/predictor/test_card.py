"""A board that draws more: in power, in time where its cap is met, and found again by one reference call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from irene.cli.main import run
from irene.errors import BadInput
from irene.leaves.card import CardLeaves
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import make_table
from irene.measuring.plan import PrimitiveCase
from irene.measuring.simulated_machine import REHEARSAL, Cost, SimulatedMachine
from irene.model_tree.tree import ModelTree
from irene.predictor.card import with_card
from irene.predictor.reference import measure_card
from tests.golden.computing import load_golden_tree
from tests.leaves.test_transferred import BIG, TINY

if TYPE_CHECKING:
    from irene.predictor.predictor import Predictor


def _values(shipped: Predictor, factor: float) -> LeafValues:
    table = make_table([BIG, TINY], ["bfloat16"] * 2, [True, False], shipped.spec)
    return CardLeaves(shipped.leaves, factor, shipped.spec.power_cap_w).predict(table)


def test_a_thirsty_board_draws_more_below_its_cap_and_takes_longer_at_it(shipped: Predictor) -> None:
    same, more, less = (_values(shipped, factor) for factor in (1.0, 1.2, 0.8))
    assert more.power_w[1] == pytest.approx(1.2 * same.power_w[1]) and more.duration_s[1] == same.duration_s[1]
    assert more.power_w[0] == pytest.approx(700.0) and more.duration_s[0] > 1.04 * same.duration_s[0]
    assert less.duration_s[0] < same.duration_s[0] and less.slowing[0] < same.slowing[0]
    assert (more.energy_j > same.energy_j).all() and (less.energy_j < same.energy_j).all()


def test_a_model_costs_as_much_more_where_the_cap_is_far(shipped: Predictor) -> None:
    tree = load_golden_tree("distilbert")
    plain, thirsty = shipped.predict(tree), with_card(shipped, 1.1).predict(tree)
    assert thirsty.energy_j == pytest.approx(1.1 * plain.energy_j, rel=0.04)
    assert "card factor 1.1" in thirsty.predictor.name
    assert with_card(shipped, 1.0) is shipped
    with pytest.raises(BadInput, match="0.5 to 2; got 3"):
        with_card(shipped, 3.0)


def test_one_reference_call_tells_the_factor(shipped: Predictor) -> None:
    drawn = with_card(shipped, 1.15)

    def law(case: PrimitiveCase | ModelTree) -> Cost:
        assert isinstance(case, ModelTree)
        whole = drawn.predict(case)
        return Cost(whole.duration_s, whole.duration_s, whole.energy_j / whole.duration_s)

    machine = SimulatedMachine(law, 120.0)
    machine.describe = lambda: {}  # type: ignore[method-assign]
    reading = measure_card(machine, how=REHEARSAL)
    assert reading.card_factor == pytest.approx(1.15, rel=0.02) and reading.device == "h200"
    assert np.isfinite(list(reading.to_json().values())[3:]).all()


def test_the_command_line_takes_it_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    def energy_j(*more: str) -> float:
        assert run(["predict", "bert-tiny", "--format", "json", *more]) == 0
        return float(json.loads(capsys.readouterr().out)["energy_j"])

    assert energy_j("--card-factor", "1.2") > 1.1 * energy_j()
    assert energy_j("--sm-clock-mhz", "990") < energy_j()
    for command in (["explain", "--no-counterfactuals"], ["sweep"], ["compare", "bert-mini"]):
        assert run([command[0], "bert-tiny", *command[1:], "--sm-clock-mhz", "990", "--card-factor", "1.1"]) == 0
        capsys.readouterr()
    assert run(["sweep", "bert-tiny", "--card-factor", "9"]) == 2
    assert run(["collect", "--reference", "--plan", "x.toml"]) == 2
    assert run(["collect", "--plan", "x.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 3
