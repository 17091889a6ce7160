"""Variants of a plan are built, run and traced with real tensors; their rows carry their names and never teach."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from irene.dataset.teaching import teaching_rows
from irene.measuring.collecting import collect
from irene.measuring.plan import ModelCase, load_plan
from irene.measuring.targets import build, prepare
from irene.model_tree.workload import Workload
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import rows_in

PLAN = load_plan(Path(__file__).parents[2] / "data" / "plans" / "variants.toml")
CASES = [case for case in PLAN.models if isinstance(case, ModelCase)]
CHANGES = list(dict.fromkeys(case.model.partition("+")[2] for case in CASES if "+" in case.model))
ON_A_GPU_ALONE = ("sparse",)  # `_cslt_sparse_mm`


def test_the_plan_has_each_variant_beside_its_base_captured_and_at_batch_1() -> None:
    assert len(CHANGES) >= 12
    for case in CASES:
        base = case.model.partition("+")[0]
        assert any(other.model == base and other.workload.execution == case.workload.execution for other in CASES), (
            case.model
        )
    assert {case.workload.execution for case in CASES} == {"eager", "cuda_graph"}


@pytest.mark.parametrize("change", CHANGES)
def test_each_runs_on_real_tensors(change: str) -> None:
    name = "bert-tiny"
    change = change.replace("width:384", "width:192")
    if change.startswith("gqa"):
        pytest.skip("a field of the config: the library's own module")
    count = int(change.partition("n=")[2].partition(",")[0] or 2)
    built = build(f"{name}+{change}", "base", "bfloat16", torch.device("cpu"), seed=1)
    case = ModelCase(f"{name}+{change}", Workload(batch_size=2 * count, seq_len=16, dtype="bfloat16"))
    if change in ON_A_GPU_ALONE:
        assert any(type(part).__name__ == "SparseLinear" for part in built.module.modules())
        return
    target = prepare(built, case, torch.device("cpu"), seed=1)
    with torch.inference_mode():
        answer = target.run()
    hidden = answer if isinstance(answer, torch.Tensor) else answer[0]  # type: ignore[index]
    assert hidden.isfinite().all() and hidden.shape[0] == 2 * count


@pytest.mark.usefixtures("quick")
def test_a_collection_of_variants(tmp_path: Path) -> None:
    changes = ("mux:n=2", "moe:experts=4", "lora", "fp8", "int8")
    tables = [f'[[models]]\nmodel = "bert-tiny+{change}"\nworkloads = [[2, 8]]\n' for change in changes]
    plan = tmp_path / "plan.toml"
    plan.write_text('name = "few"\nseed = 1\n' + "".join(tables))
    collect(plan, tmp_path / "rows", machine=FakeMachine())
    rows = [row for row in rows_in(tmp_path / "rows") if not row["reference"]]
    assert {row["model"] for row in rows} == {f"bert-tiny+{change}" for change in changes}
    assert {row["families"] for row in rows} == {"bert"} and all(row["tree"] for row in rows)


def test_rows_of_variants_do_not_teach() -> None:
    models = ["bert-base-uncased", "bert-base-uncased+fp8", None]
    rows = pd.DataFrame({"families": ["bert", "bert", "grid"], "model": models})
    assert teaching_rows(rows)["model"].fillna("-").tolist() == ["bert-base-uncased", "-"]
