"""Forms held out: each call judged by what has seen none of its form, alike forms right, odd ones wrong."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import make_table
from irene.predictor.form_errors import hold_out_forms
from irene.primitives.call import Call
from tests.predictor.made_law import tensor

SPEC = load_device("h200")
NAMES = ("add", "mul", "sub", "div", "abs", "neg", "cos", "sin")
ODD = "cos"


def test_an_odd_form_is_seen_to_be_odd() -> None:
    """Passes of one law, but for one of five times its time: nothing that is alike could tell."""
    rng = np.random.default_rng(0)
    calls = []
    for name in NAMES:
        for rows in 2 ** rng.uniform(8, 16, size=40):
            x = tensor((int(rows), 768))
            calls.append(Call(f"aten.{name}.default", (x,), (), (x,)))
    table = make_table(calls, ["bfloat16"] * len(calls), [False] * len(calls), SPEC)
    factor = np.where([call.name == ODD for call in calls], 5.0, 1.0)
    found = hold_out_forms(table, table.base_s * factor)
    assert {one.regressor for one in found} == {"vector-pointwise"}
    assert len(found) == len(calls) and {one.kind for one in found} <= set(table.kinds)
    by_form = {name: [one.error for one in found if one.form == f"aten.{name} dense"] for name in NAMES}
    assert all(len(errors) == 40 for errors in by_form.values())
    assert np.median(by_form[ODD]) == pytest.approx(-np.log(5), abs=0.35)
    assert all(abs(np.median(by_form[name])) < 0.5 for name in NAMES if name != ODD)


def test_a_form_alone_has_nothing_to_learn_from() -> None:
    x = tensor((64, 768))
    calls = [Call("aten.add.Tensor", (x, x), (), (x,))] * 30
    table = make_table(calls, ["bfloat16"] * 30, [False] * 30, SPEC)
    assert hold_out_forms(table, table.base_s) == []
