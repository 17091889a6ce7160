"""What the drawn cases damage, made once, and the answers that are right; making it also imports and caches all."""

from __future__ import annotations

import gc
import io
import json
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.programs import output_of, run_command

TINY = {
    "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 64, "max_position_embeddings": 32,
}  # fmt: skip
RELU = {"op": "aten.relu.default", "args": [{"t": [[8], [1], "float32"]}], "outputs": [{"t": [[8], [1], "float32"]}]}
PLAN = 'name = "a"\nseed = 1\nprimitives = "cases.gz"\n[[models]]\nmodel = "gpt2"\nworkloads = [[1, 8]]\n'
TREE = ("predict", "../made/tree.json", "--format", "json")


@dataclass(frozen=True, slots=True)
class Made:
    """Files lie in `home`; a case runs in a folder beside it. `right` are standard outputs by what was asked."""

    home: Path
    tree: Any
    prediction: Any
    bundle: Path
    sheet: str
    trees_2021: tuple[str, ...]
    right: Mapping[str, str]


def make(home: Path) -> Made:
    """Make all of it, and run every command once: children of this process find all imports done."""
    import torch

    torch.set_num_threads(1)
    beside = home.parent / "warm"
    for folder in (home / "model", home / "rows", beside):
        folder.mkdir(parents=True)
    os.chdir(beside)
    (home / "model" / "config.json").write_text(json.dumps(TINY))
    config = "../made/model/config.json"
    (home / "tree.json").write_text(output_of("irene", "tree", config, "--seq-len", "8", "--format", "json"))
    right = {"prediction": output_of("irene", *TREE)}
    right["config"] = output_of("irene", "predict", config, "--seq-len", "8", "--format", "json")
    right["config"] = right["config"].replace(config, "config.json")
    (home / "prediction.json").write_text(right["prediction"])
    tree = json.loads((home / "tree.json").read_text())
    _make_rows(home / "rows", tree["calls"])
    right["rows"] = output_of("rows", "../made/rows")
    _make_2021(home)
    files_2021 = ("../made/trees.jsonl", "../made/predicted.jsonl")
    right["errors of 2021"] = output_of("irene", "irene-2021", "evaluate", *files_2021)

    from irene.hardware.devices import _SPECS
    from irene.predictor.bundle import shipped_bundle

    sheet = (_SPECS / "h100-sxm.toml").read_text().replace('name = "h100-sxm"', 'name = "mine"')
    Path("mine.toml").write_text(sheet)
    right["sheet"] = output_of("irene", *TREE, "--device", "mine.toml")
    _run_the_rest(config)
    gc.collect()
    gc.freeze()  # or each child copies every page whose objects it counts
    return Made(
        home, tree, json.loads(right["prediction"]), shipped_bundle("h200"), sheet,
        tuple((home / "trees.jsonl").read_text().splitlines(keepends=True)), right,
    )  # fmt: skip


def _make_rows(folder: Path, calls: list[Any]) -> None:
    from irene.dataset.journal import RowJournal
    from irene.dataset.schema import Row
    from irene.dataset.store import write_manifest, write_parquet
    from irene.dataset.surveys import SurveyRow, write_survey
    from irene.fields import Field
    from irene.model_tree.checks import read_call

    linear = next(call for call in calls if "linear" in call["op"])
    text = read_call(Field(linear, "tree.json")).signature
    write_manifest(
        folder,
        {
            "collection": "rows",
            "runs": [
                {
                    "power_limit_w": 700.0,
                    "host_costs_s": {"aten.add": 5e-6},
                    "date": "2026-11-22T09:00:00+00:00",
                    "gpu": "NVIDIA H200",
                    "module_call_s": 1e-5,
                }
            ],
        },
    )
    write_survey([SurveyRow(text, "tf32", 4e-5, 4e-5, 1.98e9, 1, "gemm", 1, 32)], folder)
    with RowJournal(folder) as journal:
        for repeat in range(3):
            power_w, duration_s = 120.0 + repeat, 0.25
            journal.append(
                Row(
                    case="a", level="primitive", name="linear", families="bert", dtype="bfloat16", execution="eager",
                    method="window", duration_s=duration_s, energy_j=power_w * duration_s, power_w=power_w,
                    repeat=repeat, sm_clock_hz=1.98e9, ticks=12, signature=text,
                    measured_at="2026-11-22T10:00:00+00:00",
                )
            )  # fmt: skip
    write_parquet(folder)


def _make_2021(home: Path) -> None:
    from irene.irene_2021.tree_files import save_trees
    from tests.irene_2021.made_trees import forest

    save_trees(forest({"bert-a": ("Linear", 1), "gpt-b": ("Conv1D", 1)})[:6], home / "trees.jsonl")
    (home / "settings.toml").write_text('training_strategy = "none"\npolynomial_features = false\n')
    files = ("--settings", "../made/settings.toml", "--output", "../made/model-2021.json")
    output_of("irene", "irene-2021", "train", "../made/trees.jsonl", *files)
    files = ("--model", "../made/model-2021.json", "--output", "../made/predicted.jsonl")
    output_of("irene", "irene-2021", "predict", "../made/trees.jsonl", *files)


def _run_the_rest(config: str) -> None:
    """Each command and format once; what is refused imports as well as what is answered."""
    tree, bundle = "../made/tree.json", ("--predictor", "../made/none")
    for command in ("predict", "explain"):
        for file_format in ("table", "csv", "markdown", "parquet", "perfetto", "speedscope", "irene-2021"):
            _run(command, tree, "--format", file_format, "--output", "out", "--carbon-intensity", "FR")
        _run(command, "../made/prediction.json")
    _run("compare", tree, "../made/prediction.json")
    _run("sweep", config, "--batch-size", "1,2", "--seq-len", "8:16:8")
    _run("sweep", config, "--format", "csv")
    _run("report", tree, "../made/prediction.json", "--output", "report.html")
    _run("report", tree, "--output", "report.html")
    for command in ("models", "devices", "variants", "env"):
        for file_format in ("table", "json", "csv"):
            _run(command, "--format", file_format)
    _run("tree", f"{config}+set:hidden_act=relu")
    _run("predict", config, "--new-tokens", "2", "--task", "causal-lm")
    _run("predict", tree, "--device", "h100-sxm")
    _run("predict", tree, *bundle)
    _run("train", "../made/rows", "--output", "bundle")
    _run("evaluate", "../made/rows")
    Path("plan.toml").write_text(PLAN)
    _run("collect", "--plan", "plan.toml", "--output", "rows")
    _run("irene-2021", "evaluate", "../made/trees.jsonl", "../made/predicted.jsonl")
    _run("irene-2021", "crossvalidate", "../made/trees.jsonl", "--settings", "../made/settings.toml", "--seeds", "1")


def _run(*arguments: str) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        run_command(arguments)
