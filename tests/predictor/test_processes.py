"""What only a fresh process can show: no torch, any hash seed, any order of imports, little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.model_tree.serialization import tree_to_json

ROOT = Path(irene.__file__).parents[1]


def run(code: str, *arguments: str, **environment: str) -> Any:
    """The JSON that a fresh interpreter prints."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=known, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree") / "gpt2.json"
    path.write_text(json.dumps(tree_to_json(irene.trace("gpt2", batch_size=2, seq_len=64))))
    return path


# Not `sys.modules["torch"] = None`: SciPy takes what is there for the module.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers", "pandas"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""
PREDICT = """
import irene, json, sys
p = irene.predict(sys.argv[1])
print(json.dumps([p.energy_j, p.interval_j, p.duration_s]))
"""


def test_a_saved_tree_needs_no_torch(saved: Path) -> None:
    p = irene.predict(str(saved))
    assert run(BLOCK + PREDICT, str(saved)) == [p.energy_j, list(p.interval_j), p.duration_s]


def test_hash_seed_and_order_of_imports_change_nothing() -> None:
    first, second = "irene.predictor.training, irene.evaluation", "torch, xgboost, irene.cli.main"
    found = [
        run(f"import {order}\n{PREDICT.replace('sys.argv[1]', repr('bert-tiny'))}", PYTHONHASHSEED=seed)
        for order, seed in ((f"{first}, {second}", "0"), (f"{second}, {first}", "4711"))
    ]
    p = irene.predict("bert-tiny")
    assert found == [[p.energy_j, list(p.interval_j), p.duration_s]] * 2


def test_every_submodule_then_predict_twice(saved: Path) -> None:
    code = """
import importlib, json, pkgutil, sys, irene
for module in pkgutil.walk_packages(irene.__path__, "irene."):
    importlib.import_module(module.name)
print(json.dumps([irene.predict(sys.argv[1]).energy_j for _ in range(2)]))
"""
    assert run(code, str(saved)) == [irene.predict(str(saved)).energy_j] * 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory of this process is read from /proc")
def test_the_largest_model_is_quick_and_small() -> None:
    """Llama-3.1-405B, 1 x 2048: as long as 28 million turns of a loop (9 to 18 were measured), and under 1 GiB."""
    code = """
import json
import torch, transformers, xgboost, pandas
import irene, irene.predictor.entry, irene.tracing.tracer
from tests.turns import fewest_turns
def peak_bytes():  # not getrusage: a child may inherit its parent's peak
    return 1024 * next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
def predict():
    return irene.predict("meta-llama/Llama-3.1-405B", batch_size=1, seq_len=2048)
before = peak_bytes()
nodes = len(predict().flat)  # and what is paid once
print(json.dumps([fewest_turns(predict, attempts=3), peak_bytes() - before, nodes]))
"""
    fewest_turns, extra_bytes, nodes = run(code)
    assert nodes > 5000
    assert fewest_turns < 28e6
    assert 0 < extra_bytes < 2**30
