"""Errors of sites held out: of joules where there are enough, else of seconds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, make_table
from irene.predictor.intervals import FEWEST_ERRORS
from irene.predictor.site_errors import hold_out_sites
from irene.predictor.training_data import SITE_FOLDS, PrimitiveData
from irene.primitives.call import Call
from tests.predictor.made_law import UNKNOWN, gelu, linear

SPEC = load_device("h200")


def fixed(table: LeafTable) -> SimpleNamespace:
    return SimpleNamespace(energy_j=np.full(len(table.calls), 2.0))


def data_of(timed: list[Call], metered: list[Call]) -> PrimitiveData:
    tables = [make_table(calls, ["bfloat16"] * len(calls), [False] * len(calls), SPEC) for calls in (timed, metered)]
    ones = np.ones(len(metered))
    return PrimitiveData(
        tables[0], np.full(len(timed), 2e-6), tables[1], ones, ones, ones, np.zeros(len(timed)), np.zeros(len(metered)),
        None,
    )  # fmt: skip


def test_seconds_stand_in_where_joules_are_few() -> None:
    gelus = [gelu(64 * rows, 64) for rows in range(1, FEWEST_ERRORS + 1)]
    linears = [linear(64 * rows, 64, 64) for rows in range(1, 4)]
    model: Any = SimpleNamespace(predict=fixed, predict_burst_s=lambda table: np.full(len(table.calls), 4e-6))
    found = hold_out_sites(data_of(gelus + linears, gelus + linears[:1]), [model] * SITE_FOLDS)
    by_kind = {kind: [error for known, error in found if known == kind] for kind in ("activation", "gemm")}
    assert by_kind["activation"] == pytest.approx([np.log(2)] * FEWEST_ERRORS)
    assert by_kind["gemm"] == pytest.approx([np.log(2)] * 4)  # one metered, three timed
    assert len(found) == FEWEST_ERRORS + 4


def test_what_launches_nothing_has_no_error() -> None:
    data = data_of([UNKNOWN], [gelu(64, 64)])
    data = replace(data, timed=replace(data.timed, launches=np.array([False])))
    model: Any = SimpleNamespace(predict=fixed, predict_burst_s=fixed)
    assert [known for known, _ in hold_out_sites(data, [model] * SITE_FOLDS)] == ["activation"]
