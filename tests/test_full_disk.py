"""A disk that takes no more bytes: every output says so in one line, and what stood in its place still does."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.cli.main import run
from irene.dataset.journal import RowJournal
from irene.dataset.manifest import write_manifest
from irene.dataset.store import write_parquet
from irene.dataset.surveys import SurveyRow, write_survey
from irene.errors import NoSpace
from irene.irene_2021.tree_files import save_trees
from irene.measuring.plan import PrimitiveCase, save_primitive_cases
from irene.predictor.bundle import save_bundle
from irene.predictor.predictor import Predictor
from tests.dataset.test_bit_flips import make_rows
from tests.irene_2021.made_trees import tree
from tests.predictor.made_law import gelu

MODEL = ["bert-tiny", "--batch-size", "1", "--seq-len", "8"]
OUTPUTS: dict[str, list[str]] = {
    **{name: ["predict", *MODEL, "--format", name] for name in (
        "table", "json", "csv", "parquet", "markdown", "perfetto", "speedscope", "irene-2021",
    )},
    "tree": ["tree", *MODEL, "--format", "json"],
    "explanation": ["explain", *MODEL, "--format", "json"],
    "comparison": ["compare", "bert-tiny", "bert-tiny,batch-size=2", "--format", "json"],
    "sweep": ["sweep", *MODEL, "--format", "csv"],
    "report": ["report", *MODEL],
}  # fmt: skip


@contextmanager
def full_disk() -> Iterator[None]:
    """Files of this process take 20 bytes: the kernel refuses the rest, as on a disk that fills."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_of_a_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "output"
    path.write_text("old")
    with full_disk():
        code = run([*OUTPUTS[name], "--output", str(path)])
    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert captured.err.startswith(f"Error: Cannot write {str(path)!r}: ") and captured.err.count("\n") == 1
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["output"]


def _survey() -> list[SurveyRow]:
    return [SurveyRow("call", "tf32", 4e-5, 4e-5, 1.98e9, 1, "gemm", 1, 32)]


def _append(folder: Path) -> None:
    with RowJournal(folder) as journal:
        journal.append_skip("b", "too large")


WRITERS: dict[str, Any] = {
    "saved prediction": lambda folder: irene.save_prediction(irene.predict("bert-tiny", seq_len=8), folder / "p.json"),
    "list of a plan": lambda folder: save_primitive_cases(
        [PrimitiveCase(gelu(8, 8), "hot", "bert", True, "bfloat16")], folder / "cases.gz"
    ),
    "trees of 2021": lambda folder: save_trees([tree("bert-a", 1, 4)], folder / "trees.jsonl"),
    "tables": write_parquet,
    "manifest": lambda folder: write_manifest(folder, {"collection": "another"}),
    "survey": lambda folder: write_survey(_survey(), folder),
    "journal": _append,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_of_the_library(name: str, tmp_path: Path) -> None:
    make_rows(tmp_path)
    WRITERS[name](tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(NoSpace):
        WRITERS[name](tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bundle(fitted: Predictor, tmp_path: Path) -> None:
    save_bundle(fitted, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(NoSpace):
        save_bundle(fitted, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
