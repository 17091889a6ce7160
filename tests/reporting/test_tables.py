"""Printed tables: their text, and that what they show adds up."""

from __future__ import annotations

import csv
import io
import re

import pytest

from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.prediction import Prediction
from irene.reporting.export import rows_to_csv
from irene.reporting.prediction_table import prediction_table
from irene.reporting.rendering import FILE_WIDTH, render, simple_table
from irene.reporting.work_table import work_rows, work_table

GOLDEN = """\
tiny: batch 2, 4 tokens, bfloat16, base, eager on h200
energy     113 J   90 % interval 90.4 J to 147 J
time       113 ms   mean power 1 kW
goes to    compute 50.0%, memory 25.0%, static 12.5%, launch gap 12.5%
known from interpolated 85.0%, extrapolated 15.0%
predictor  test 1, trained on nothing
note       by hand

node                           energy    share     time   power    bound      90 % interval     provenance
──────────────────────────────────────────────────────────────────────────────────────────────────────────
Tiny                            113 J   100.0%   113 ms   700 W   memory    90.4 J to 147 J   extrapolated
  layers.0 ... 1 (x2)            14 J    12.4%    14 ms   700 W     host   11.2 J to 18.2 J   interpolated
    dense                         5 J     4.4%     5 ms   700 W     host       4 J to 6.5 J   interpolated
    mul#0                         9 J     8.0%     9 ms   700 W     host    7.2 J to 11.7 J   interpolated
  shared@0 ... shared@2 (x3)     66 J    58.4%    66 ms   700 W     host   52.8 J to 85.8 J   interpolated
    dense                        30 J    26.5%    30 ms   700 W     host       24 J to 39 J   interpolated
    mul#0                        36 J    31.9%    36 ms   700 W     host   28.8 J to 46.8 J   interpolated
  linear#0 ... 1 (x2)            33 J    29.2%    33 ms   700 W     host   26.4 J to 42.9 J   extrapolated
"""


def walk(row: FoldedRow) -> list[FoldedRow]:
    return [row, *(below for child in row.children for below in walk(child))]


def test_equal_neighbours_fold(tree: ModelTree) -> None:
    row = fold(flatten(tree), 9)
    labels = [child.label for child in row.children]
    assert labels == ["layers.0 ... 1 (x2)", "shared@0 ... shared@2 (x3)", "dropout", "linear#0 ... 1 (x2)"]
    assert [child.label for child in row.children[0].children] == ["dense", "view#0", "mul#0"]


def test_rows_hold_every_node_once(tree: ModelTree) -> None:
    flat = flatten(tree)
    assert sorted(index for row in walk(fold(flat, 9)) for index in row.indices) == list(range(len(flat)))
    assert [row.label for row in walk(fold(flat, 0))] == ["Tiny"]


def test_prediction_table_rows_add_up(prediction: Prediction) -> None:
    text = render(prediction_table(prediction, depth=2))
    assert text + "\n" == GOLDEN
    assert max(map(len, text.splitlines())) <= FILE_WIDTH
    shares: dict[int, list[float]] = {}
    for line in text.splitlines()[10:]:
        indent = len(line) - len(line.lstrip())
        shares.setdefault(indent, []).append(float(line.split("%")[0].split()[-1]))
    assert shares[0] == [100.0]
    assert abs(sum(shares[2]) - 100) < 0.5


def test_what_is_not_shown_is_named(prediction: Prediction) -> None:
    import dataclasses

    values = prediction.values
    more = {}
    for field in dataclasses.fields(values):
        if field.name not in ("provenance", "bound"):
            more[field.name] = getattr(values, field.name).copy()
            more[field.name][0] *= 1.25  # the root itself uses a fifth
    text = render(prediction_table(dataclasses.replace(prediction, values=dataclasses.replace(values, **more)), 1))
    assert "(other)" in text
    assert "20.0%" in text


def test_work(tree: ModelTree) -> None:
    rows = work_rows(tree)
    assert rows[0]["flop"] == sum(row["flop"] for row in rows if row["kind"] == "primitive")
    assert [row["flop"] for row in rows if row["name"].startswith("linear")] == [64] * 7  # 2 x 2 x 4 x 4
    text = render(work_table(tree, 9))
    assert "view" not in text
    assert "tiny: batch 2, 4 tokens, bfloat16, base (traced with torch 2.13.0)" in text
    assert "note: by hand" in text


def test_parameters_of_a_repeated_module_count_once(tree: ModelTree) -> None:
    lines = render(work_table(tree, 1)).splitlines()
    assert next(line for line in lines if "layers.0" in line).split()[-1] == "32"
    assert next(line for line in lines if "shared" in line).split()[-1] == "16"


def test_csv(prediction: Prediction) -> None:
    rows = list(csv.DictReader(io.StringIO(rows_to_csv(list(prediction.rows())))))
    assert [float(row["energy_j"]) for row in rows] == prediction.values.energy_j.tolist()
    assert rows_to_csv([]) == ""
    assert rows_to_csv([{"a": None, "b": ["x", "y"]}]) == "a,b\n,x;y\n"


def test_cells() -> None:
    text = render(simple_table(["a", "b"], [["[red]x", 1234567], ["y", None]]))
    assert "[red]x" in text
    assert "1,234,567" in text
    assert text.splitlines()[-1].endswith("-")
    assert "\x1b" not in text
    assert "nan" not in render(simple_table(["a"], [[float("nan")]]))


def test_a_narrow_terminal_gets_whole_numbers(prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = render(prediction_table(prediction, 2), to_terminal=True)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "interpolated  " not in text


HOSTILE = "a\x1b]0;title\x07\x1b[2J\x9b31m<img src=x onerror=alert(1)>|`[x](javascript:1)\u202e"


def test_names_of_others_do_not_command_a_terminal() -> None:
    for to_terminal in (False, True):
        text = render(simple_table([HOSTILE], [[HOSTILE], [1.0]]), to_terminal=to_terminal)
        plain = re.sub("\x1b\\[[0-9;]*m", "", text)  # colours are ours
        assert plain.replace("\n", "").isprintable() and "\\x1b]0;title\\x07" in plain.replace("\n", "").replace(
            " ", ""
        )


def test_no_cell_of_a_csv_is_a_formula() -> None:
    cells = ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "plain", "a=1", ["=1", "2"], -1.5, None, "a\r=1\n\t@1\x1b[2J"]
    text = rows_to_csv([{"cell": cell} for cell in cells])
    read = [row["cell"] for row in csv.DictReader(io.StringIO(text))]
    assert read == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\uff1d1",
        "plain",
        "a=1",
        "'=1;2",
        "-1.5",
        "",
        "a\\r=1\\n\\t@1\\x1b[2J",
    ]
