"""A cached tree is the tree that a trace would give now: each part of the key counts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.tracing import keeping, surroundings, tracer
from irene.tracing.bundled_models import find_bundled
from irene.tracing.known_trees import trace_named
from irene.tracing.sources import NamedConfig, read_source

WORKLOAD = Workload(batch_size=2, seq_len=8)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is traced, in a process that may keep trees, and has none yet."""
    names: list[str] = []
    trace_model = tracer.trace_model

    def count(model: NamedConfig, workload: Workload) -> ModelTree:
        names.append(model.name)
        return trace_model(model, workload)

    monkeypatch.setattr(tracer, "trace_model", count)
    monkeypatch.setattr(keeping, "_said", [True])
    monkeypatch.setenv("IRENE_CACHE_DIR", str(tmp_path / "cache"))
    surroundings.describe_surroundings.cache_clear()
    yield names
    surroundings.describe_surroundings.cache_clear()


def test_a_question_asked_before_is_not_traced_again(traced: list[str]) -> None:
    first, second = (trace_named(read_source("bert-tiny"), WORKLOAD) for _ in range(2))
    assert first == second and traced == ["bert-tiny"]


@pytest.mark.parametrize(
    "changed",
    [
        {"batch_size": 3}, {"seq_len": 9}, {"dtype": "float32"}, {"task": "masked-lm"}, {"execution": "cuda_graph"},
    ],
)  # fmt: skip
def test_each_part_of_the_workload_counts(traced: list[str], changed: dict[str, object]) -> None:
    trace_named(read_source("bert-tiny"), WORKLOAD)
    found = trace_named(read_source("bert-tiny"), replace(WORKLOAD, **changed))
    assert len(traced) == 2
    assert {name: getattr(found.workload, name) for name in changed} == changed


def test_every_field_of_a_workload_is_in_the_key(traced: list[str]) -> None:
    """One that is added later counts too: the key is made of all fields, by name."""
    from irene.tracing.known_trees import _key_of

    model = read_source("bert-tiny")
    base = Workload(seq_len=8, decoder_seq_len=8, context_len=4, cache="static", cache_len=64, images=1, new_tokens=2)
    others = [
        replace(base, batch_size=2), replace(base, seq_len=9), replace(base, decoder_seq_len=9),
        replace(base, dtype="float32"), replace(base, task="causal-lm"), replace(base, execution="cuda_graph"),
        replace(base, new_tokens=3), replace(base, images=2), replace(base, context_len=5),
        replace(base, cache="dynamic", cache_len=None), replace(base, cache_len=65), replace(base, gpus=2),
        replace(base, expert_routing="zipf:1"),
    ]  # fmt: skip
    assert len({_key_of(model, work) for work in (base, *others)}) == 1 + len(others)
    assert len(others) == len(Workload.__dataclass_fields__)


def test_the_content_of_a_config_counts_not_its_path(traced: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = read_source("bert-tiny").config
    layers = []
    for count in (1, 2):
        config.num_hidden_layers = count
        path.write_text(config.to_json_string())
        layers.append(sum(node.type == "BertLayer" for node in trace_named(read_source(path), WORKLOAD).root.walk()))
    assert layers == [1, 2] and len(traced) == 2


def test_the_content_of_a_bundled_entry_counts(traced: list[str]) -> None:
    entry = find_bundled("bert-tiny")
    assert entry is not None
    named = read_source("bert-tiny")
    other = read_source("bert-tiny+layers:1")
    assert len({named.content, other.content, read_source("bert-base-uncased").content}) == 3
    assert entry.source in (named.content or "")


def test_names_and_variants_count(traced: list[str]) -> None:
    for name in ("bert-tiny", "bert-tiny+layers:1", "bert-tiny+layers:2", "google/bert_uncased_L-2_H-128_A-2"):
        assert trace_named(read_source(name), WORKLOAD).model == name
    assert len(traced) == 4


def test_versions_packages_and_irenes_own_code_count(
    traced: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def ask() -> int:
        surroundings.describe_surroundings.cache_clear()
        trace_named(read_source("bert-tiny"), WORKLOAD)
        return len(traced)

    assert (ask(), ask()) == (1, 1)
    monkeypatch.setattr(surroundings, "__version__", "0.0.1")
    assert (ask(), ask()) == (2, 2)
    monkeypatch.syspath_prepend(str(tmp_path))
    expected = 2
    for package in ("torch-9.0.0.dist-info", "transformers-9.0.0.dist-info", "kernels-1.0.dist-info"):
        (tmp_path / package).mkdir()
        expected += 1
        assert (ask(), ask()) == (expected, expected)
    monkeypatch.setenv("TRANSFORMERS_TEST_SWITCH", "1")
    assert ask() == expected + 1
    room = tmp_path / "irene" / "tracing"
    room.mkdir(parents=True)
    (room / "new.py").write_text("")
    monkeypatch.setattr(surroundings, "__file__", str(room / "surroundings.py"))
    assert ask() == expected + 2
    (room / "new.py").write_text("changed = True\n")
    assert ask() == expected + 3


def test_what_somebody_else_may_have_set_is_not_kept(traced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite imports torch, whose switches are anybody's."""
    monkeypatch.setattr(keeping, "_said", [])
    for _ in range(2):
        trace_named(read_source("bert-tiny"), WORKLOAD)
    monkeypatch.setattr(keeping, "_said", [False])
    trace_named(read_source("bert-tiny"), WORKLOAD)
    assert len(traced) == 3


def test_a_config_of_unknown_content_is_not_kept(traced: list[str]) -> None:
    config = read_source("bert-tiny").config
    for _ in range(2):
        trace_named(NamedConfig(lambda: config, "given"), WORKLOAD)
    assert len(traced) == 2


def test_a_prediction_asked_before_imports_no_torch(tmp_path: Path) -> None:
    energy = "irene.predict('bert-tiny', batch_size=2, seq_len=8).energy_j"
    asked = f"import sys, irene; print({energy}); print('torch' in sys.modules)"
    answers = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, timeout=300, check=True,
            env={**os.environ, "IRENE_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        answers.append(done.stdout.split())
    assert answers[0][0] == answers[1][0]
    assert (answers[0][1], answers[1][1]) == ("True", "False")
