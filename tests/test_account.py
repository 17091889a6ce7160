"""The account is one: whatever holds, shows or paints its parts knows all of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import irene
from irene.account import GPU_BOUND_FROM_PCT, HOST_BOUND_SHARE, PARTS, is_host_bound, name_regime
from irene.predictor.node_values import NodeValues
from irene.predictor.sweep_values import SweepValues
from irene.reporting.static_figures import COLORS
from irene.reporting.wording import PARTS as WORDS

PAGE = Path(irene.__file__).parent / "reporting" / "page"


@pytest.mark.parametrize("values", [NodeValues, SweepValues])
def test_values_have_a_field_for_each_part(values: type) -> None:
    assert {f"{part}_j" for part in PARTS} <= {field.name for field in dataclasses.fields(values)}


def test_each_part_has_words_and_colours() -> None:
    assert tuple(WORDS) == PARTS and tuple(COLORS) == PARTS
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    themes = re.findall(r"(?m)^ *--compute:.*$", style)
    assert len(themes) == 2  # light and dark
    for theme in themes:
        assert tuple(re.findall(r"--(\w+): #", theme)) == PARTS
    assert all(f".{part} {{ background: var(--{part})" in style for part in PARTS)
    assert all(f"svg .{part} {{ fill: var(--{part})" in style for part in PARTS)


def test_the_border_is_the_same_predicted_and_measured() -> None:
    assert GPU_BOUND_FROM_PCT == 85.0 and HOST_BOUND_SHARE == 0.15
    assert is_host_bound(np.array([0.14, 0.16]), np.array([1.0, 1.0])).tolist() == [False, True]
    assert name_regime("eager", 0.14, 1.0) == "eager"
