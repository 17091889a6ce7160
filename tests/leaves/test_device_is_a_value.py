"""The device is a value: other numbers on its sheet move every column that depends on them; no logic names a GPU."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import irene
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.leaves.ideal_time import base_duration_s
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_table import effective_dtype, make_table, matrix_names
from irene.leaves.power.activity import RATES, RatePower
from irene.primitives.kinds import kind_of
from tests.golden import computing

SPEC = load_device("h200")
FEWER = replace(SPEC, name="fewer", sm_count=97)  # no divisor: every count of waves moves
# Of one device: exchanges go by a link, which a sheet does not have.
CASES = [case for case in computing.load_cases("column_calls.json") if kind_of(case.call) != "collective"]


def _columns(spec: DeviceSpec) -> dict[str, dict[str, np.ndarray]]:
    calls = [case.call for case in CASES]
    dtypes = [effective_dtype(case.call, case.dtype) for case in CASES]
    table = make_table(calls, dtypes, [False] * len(calls), spec)
    tables = {}
    for name in REGRESSORS:
        members = table.members_of(name)
        if len(members):
            tables[name] = dict(zip(matrix_names(name), table.matrix(name, members).T, strict=True))
    return tables


def test_fewer_multiprocessors_move_every_column_of_waves() -> None:
    full, fewer = _columns(SPEC), _columns(FEWER)
    assert full.keys() == fewer.keys() and len(full) > 8
    moved: dict[str, bool] = {}
    for regressor, columns in full.items():
        for name in columns:
            if "wave" in name or "tile_time" in name or "walk_time" in name:
                same = np.array_equal(columns[name], fewer[regressor][name])
                moved[name] = moved.get(name, False) or not same  # two calls alone may fill as many waves
    assert moved and all(moved.values()), [name for name, was in moved.items() if not was]


@pytest.mark.parametrize(
    ("changed", "moves"),
    [
        ({"hbm_bytes_per_s": 2.4e12}, True),
        ({"kernel_floor_s": 3e-6}, True),
        ({"vector_flop_per_s": 1e12}, True),
        ({"title": "another"}, False),
    ],
)
def test_the_ideal_time_is_that_of_the_sheet(changed: dict[str, object], moves: bool) -> None:
    other = replace(SPEC, **changed)  # type: ignore[arg-type]
    times = [[base_duration_s(case.call, case.dtype, spec) for case in CASES] for spec in (SPEC, other)]
    assert (times[0] != times[1]) == moves


def test_the_cap_is_that_of_the_sheet() -> None:
    case = CASES[0]
    low = replace(SPEC, power_cap_w=300.0)
    drawn = [
        RatePower((1e6,) * len(RATES)).power_w(make_table([case.call], [case.dtype], [False], spec), np.array([1e-6]))
        for spec in (SPEC, low)
    ]
    assert [watts.tolist() for watts in drawn] == [[700.0], [300.0]]


def test_no_logic_names_a_gpu() -> None:
    """Names in code, that is in identifiers and texts that are no docstring, stand where devices are found alone."""
    house, found = Path(irene.__file__).parent, []
    for path in sorted(house.rglob("*.py")):
        if path.relative_to(house).as_posix() in ("hardware/devices.py", "default_device.py"):
            continue
        before = None
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            is_docstring = token.type == tokenize.STRING and before in (tokenize.INDENT, tokenize.NEWLINE, None)
            if (
                token.type in (tokenize.NAME, tokenize.STRING)
                and re.search(r"(?<![a-z])h200", token.string.lower())
                and not is_docstring
            ):
                found.append(f"{path.relative_to(house)}:{token.start[0]} {token.string[:40]}")
            if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING):
                before = token.type
    assert not found
