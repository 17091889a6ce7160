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
from irene.measuring.harvest import harvest
from irene.model_tree.serialization import tree_to_json
from tests.measuring.small_harvest import write_harvest
from tests.tracing.tiny_models import tiny_config

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


FIRST, SECOND = "irene.predictor.training, irene.evaluation", "transformers, torch, xgboost, irene.cli.main"
EVERY_SUBMODULE = """
import importlib, pkgutil, irene
for module in pkgutil.walk_packages(irene.__path__, "irene."):
    importlib.import_module(module.name)
"""
LARGEST = """
import torch, transformers, xgboost, pandas
import irene, irene.predictor.entry, irene.tracing.tracer
from tests.turns import fewest_turns
def peak_bytes():  # not getrusage: a child may inherit its parent's peak
    return 1024 * next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
def predict():
    return irene.predict("meta-llama/Llama-3.1-405B", batch_size=1, seq_len=2048)
before = peak_bytes()
nodes = len(predict().flat)  # and what is paid once
largest = [fewest_turns(predict, enough=28e6, attempts=3), peak_bytes() - before, nodes]
"""
ANSWER = """
import irene, json, pathlib, sys
from irene.measuring.harvest import harvest
from irene.model_tree.serialization import tree_to_json
from tests.tracing.tiny_models import tiny_config
p, saved = irene.predict("bert-tiny"), [irene.predict(sys.argv[1]).energy_j for _ in range(2)]
tree = tree_to_json(irene.trace(tiny_config("mixtral"), batch_size=2, seq_len=16))
cases = [repr(case) for case in harvest(pathlib.Path(sys.argv[2]))]
print(json.dumps([[p.energy_j, p.interval_j, p.duration_s, saved, json.dumps(tree), cases], largest]))
"""
HAS_PEAK = Path("/proc/self/status").exists()


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan of a harvest of two small models."""
    return write_harvest(tmp_path_factory.mktemp("harvest"))


@pytest.fixture(scope="module")
def first_answer(saved: Path, harvested: Path) -> list[Any]:
    """What a fresh process says, and how it was with the largest model, asked before all else."""
    code = f"import {FIRST}, {SECOND}\n{LARGEST if HAS_PEAK else 'largest = None'}\n{ANSWER}"
    answer: list[Any] = run(code, str(saved), str(harvested), PYTHONHASHSEED="0")
    return answer


@pytest.mark.skipif(not HAS_PEAK, reason="peak memory of this process is read from /proc")
def test_the_largest_model_is_quick_and_small(first_answer: list[Any]) -> None:
    """Llama-3.1-405B, 1 x 2048: as long as 28 million turns of a loop (9 to 18 were measured), and under 1 GiB."""
    fewest_turns, extra_bytes, nodes = first_answer[1]
    assert nodes > 5000
    assert fewest_turns < 28e6
    assert 0 < extra_bytes < 2**30


@pytest.mark.filterwarnings("ignore:Sequence length 4000 is beyond:UserWarning")
def test_hash_seed_and_order_of_imports_change_nothing(first_answer: list[Any], saved: Path, harvested: Path) -> None:
    """Not what is predicted, traced or harvested; and once every submodule is imported, two predictions are one."""
    p, tree = irene.predict("bert-tiny"), irene.trace(tiny_config("mixtral"), batch_size=2, seq_len=16)
    here = [p.energy_j, list(p.interval_j), p.duration_s, [irene.predict(str(saved)).energy_j] * 2]
    here += [json.dumps(tree_to_json(tree)), [repr(case) for case in harvest(harvested)]]
    assert len(here[-2]) > 1000 and len(here[-1]) > 50
    assert first_answer[0] == here
    code = f"import {SECOND}, {FIRST}\n{EVERY_SUBMODULE}\nlargest = None\n{ANSWER}"
    assert run(code, str(saved), str(harvested), PYTHONHASHSEED="4711") == [here, None]
