"""The list of primitives beside a plan: it comes back whole, and damaged, dangerous or endless ones are refused."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from irene.errors import BadInput
from irene.measuring.plan import PrimitiveCase, load_primitive_cases, save_primitive_cases
from irene.measuring.replaying import resolve_operator
from irene.primitives.call import Call, TensorSpec

X = TensorSpec((4,), (1,), "bfloat16")


def case(value: float, weights: str = "hot", energy: bool = True) -> PrimitiveCase:
    return PrimitiveCase(Call("aten.mul.Scalar", (X, value), (), (X,)), weights, "gpt2", energy, "bfloat16")


@pytest.mark.parametrize(("end", "magic"), [("gz", b"\x1f\x8b"), ("xz", b"\xfd7zXZ")])
def test_primitive_cases_come_back_and_equal_cases_are_equal_bytes(tmp_path: Path, end: str, magic: bytes) -> None:
    cases = [case(1), case(1.0, "cold"), case(2.5, energy=False)]
    one, other = tmp_path / f"a.{end}", tmp_path / f"b.{end}"
    for path in (one, other):
        save_primitive_cases(cases, path)
    assert load_primitive_cases(one) == tuple(cases) and one.read_bytes().startswith(magic)
    assert one.read_bytes()[12:] == other.read_bytes()[12:]


def test_drawn_loads_are_cases_of_their_own_and_equal_ones_are_what_they_were(tmp_path: Path) -> None:
    equal = case(1)
    assert equal.key == f"bfloat16|hot|{equal.call.signature}", "else collections measure all their cases again"
    drawn = [replace(equal, load_deviation=deviation) for deviation in (0.1, 1.0)]
    assert len({each.key for each in (equal, *drawn)}) == 3
    path = tmp_path / "cases.gz"
    save_primitive_cases([equal, *drawn], path)
    assert load_primitive_cases(path) == (equal, *drawn)
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [line.pop("load_deviation", None) for line in lines] == [None, 0.1, 1.0]
    for wrong in ("x", 0, -1.0, True, float("nan")):
        path.write_bytes(gzip.compress(json.dumps({**lines[0], "load_deviation": wrong}).encode()))
        with pytest.raises(BadInput, match="line 1.*load_deviation, expected a number|line 1 is not JSON: NaN"):
            load_primitive_cases(path)


@pytest.mark.parametrize("pack", [gzip, lzma], ids=["gz", "xz"])
@pytest.mark.parametrize("damage", ["cut", "text", "list", "fields", "call"])
def test_damaged_primitive_cases(tmp_path: Path, damage: str, pack: ModuleType) -> None:
    path = tmp_path / ("cases.gz" if pack is gzip else "cases.xz")
    save_primitive_cases([case(value) for value in range(50)], path)
    lines = {"list": b"[]\n", "fields": b"{}\n", "call": b'{"call": []}\n'}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(pack.compress(lines[damage]) if damage in lines else b"plain text")
    with pytest.raises(BadInput, match=r"cases\.[gx]z( is cut off| cannot be unpacked|, line 1: at )"):
        load_primitive_cases(path)


@pytest.mark.parametrize(
    "op",
    [
        "load_library", "import_module", "_dir", "ops.load_library", "aten.linear", "c10d.send.default",
        "transformers.other.default",
    ],
)  # fmt: skip
def test_a_plan_names_operators_that_compute_and_nothing_else(tmp_path: Path, op: str) -> None:
    """`torch.ops` also has functions that load a library or import a module: a plan is run, by whoever got it."""
    path = tmp_path / "cases.gz"
    line = {"call": {"op": op, "args": ["evil"], "outputs": []}, "weights": "hot", "families": "", "energy": True}
    path.write_bytes(gzip.compress(json.dumps({**line, "dtype": "bfloat16"}).encode()))
    with pytest.raises(BadInput, match="operators of aten, prims, .* only|expected an operator"):
        load_primitive_cases(path)
    with pytest.raises(BadInput, match="only|does not exist"):
        resolve_operator(op)


def test_a_bomb_or_a_pipe_is_no_list_of_cases(tmp_path: Path) -> None:
    bomb = bytes(300_000_000)
    for name, packed in (("cases.gz", gzip.compress(bomb, 1)), ("cases.xz", lzma.compress(bomb, preset=0))):
        path = tmp_path / name
        path.write_bytes(packed)
        with pytest.raises(BadInput, match="unpacks to more than"):
            load_primitive_cases(path)
    os.mkfifo(tmp_path / "pipe.gz")
    with pytest.raises(BadInput, match="pipe or device"):
        load_primitive_cases(tmp_path / "pipe.gz")
