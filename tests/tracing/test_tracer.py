"""Every architecture traces into the calls that PyTorch really makes, the same ones every time."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

import irene
from irene.errors import BadInput, UnknownName, Untraceable
from irene.model_tree.serialization import tree_to_json
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.primitives.work import count_work
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs
from irene.tracing.tracer import trace_config
from tests.tracing.tiny_models import ARCHITECTURES, tiny_config
from tests.turns import fewest_turns

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"batch_size": 2, "seq_len": 16, "dtype": "float32"}


def count_matmul_flop(tree: ModelTree) -> int:
    return sum(count_work(leaf.call).matmul_flop for leaf in tree.root.leaves if leaf.call is not None)


def run_really(architecture: str, seq_len: int = 16) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    model = build_model(tiny_config(architecture), "base", torch.float32, "cpu")
    workload = Workload(batch_size=2, seq_len=seq_len, dtype="float32")
    return model, build_inputs(model.config, model.main_input_name, workload, torch.device("cpu"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_traces(architecture: str, dtype: str) -> None:
    config = tiny_config(architecture)
    tree = irene.trace(config, batch_size=2, seq_len=16, dtype=dtype)
    model, _ = run_really(architecture)
    assert tree.root.kind == "model" and tree.root.type == type(model).__name__
    assert tree.root.parameters == sum(p.numel() for p in model.parameters())
    paths = {name for name, _ in model.named_modules()}
    assert {node.path for node in tree.root.walk()} <= paths
    assert tree.workload.dtype == dtype
    assert tree.workload.seq_len == (None if architecture == "vit" else 16)
    assert tree.workload.decoder_seq_len == (16 if architecture in ("t5", "bart") else None)
    written = {spec.dtype for leaf in tree.root.leaves if leaf.call for spec in leaf.call.outputs}
    assert dtype in written


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "mixtral"])
def test_matmul_flop_equal_those_that_torch_counts(architecture: str) -> None:
    """Independent: torch's own counter over a real forward pass (it does not know Mixtral's grouped products)."""
    model, inputs = run_really(architecture)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)
    assert count_matmul_flop(trace(tiny_config(architecture), **SMALL)) == counter.get_total_flops() > 0


def test_matmul_flop_of_bert_base() -> None:
    assert count_matmul_flop(trace("bert-base-uncased", batch_size=8, seq_len=128)) == 178_787_450_880


@pytest.fixture(scope="module")
def comparison() -> Iterator[ModuleType]:
    """The experiment that compares with a GPU's profile; here it runs on the CPU."""
    folder = str(ROOT / "experiments" / "leaves-against-profiler")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("compare")
    finally:
        sys.path.remove(folder)


def traced_and_profiled(comparison: ModuleType, config: Any, name: str) -> tuple[list[Any], list[Any]]:
    """(op, shapes) of every leaf, and of every outermost operator of a real run on the CPU."""
    workload = Workload(batch_size=2, seq_len=16, dtype="bfloat16")
    calls = comparison.traced_calls(trace_config(config, workload, name))
    model = build_model(config, "base", torch.bfloat16, "cpu")
    inputs = build_inputs(model.config, model.main_input_name, workload, torch.device("cpu"))
    profiled, _ = comparison.profile_call(lambda: model(**inputs), torch.device("cpu"))
    return (
        [(call.name, comparison.shapes_of(call)) for call in calls],
        [(op.name, comparison.trim(op.shapes)) for op in profiled],
    )


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "t5"])
def test_leaves_are_the_outermost_operators_that_the_profiler_sees(comparison: ModuleType, architecture: str) -> None:
    """In bfloat16 a CPU's attention kernel returns the layout of a GPU's, so that all shapes are the same too."""
    changes = {"pad_token_id": None} if "gpt" in architecture else {}  # as their configs have it
    traced, profiled = traced_and_profiled(comparison, tiny_config(architecture, **changes), architecture)
    assert [op for op, _ in traced] == [op for op, _ in profiled]
    assert traced == profiled


def test_leaves_of_t5_are_those_that_the_profiler_sees_but_for_the_layout(comparison: ModuleType) -> None:
    """Its position bias makes a GPU's attention return another layout, after which `contiguous` has work to do."""
    both = traced_and_profiled(comparison, tiny_config("t5"), "t5")
    traced, profiled = ([call for call in calls if call[0] != "contiguous"] for calls in both)
    assert traced == profiled


@pytest.mark.parametrize("architecture", ["bert", "mixtral", "t5", "gemma2"])
def test_two_traces_are_equal(architecture: str) -> None:
    first, second = (trace(tiny_config(architecture), **SMALL) for _ in range(2))
    assert first == second
    assert json.dumps(tree_to_json(first)) == json.dumps(tree_to_json(second))


def test_equal_numbers_of_different_types_are_different_calls() -> None:
    class Add(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return ((x + 1) + 1.0) + True

    tree = trace(Add(), torch.zeros(3))
    assert [repr(leaf.call.args[1]) for leaf in tree.root.leaves if leaf.call] == ["1", "1.0", "True"]


def test_a_model_of_hundreds_of_layers_is_quick_and_small() -> None:
    """As long as 25 million turns of a loop; 8 to 10 million were measured."""
    tree = trace("meta-llama/Llama-3.1-405B", seq_len=2048)  # and what is paid once: the library's classes
    assert fewest_turns(lambda: trace("meta-llama/Llama-3.1-405B", seq_len=2048), enough=25e6) < 25e6
    leaves = list(tree.root.leaves)
    assert len(leaves) > 7000
    assert len({id(leaf.call) for leaf in leaves}) < 100


def test_tracing_leaves_the_config_alone() -> None:
    config = tiny_config("bert")
    before = repr(vars(config))
    trace(config, dtype="float16")
    assert repr(vars(config)) == before


def test_a_saved_tree_comes_back(tmp_path: Path) -> None:
    tree = trace(tiny_config("gpt2"), batch_size=3)
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(tree_to_json(tree)))
    assert trace(path) == trace(str(path)) == tree
    with pytest.raises(BadInput, match="example_inputs"):
        trace(path, torch.zeros(1))


def test_a_tree_says_which_versions_traced_it() -> None:
    versions = dict(trace(tiny_config("vit")).versions)
    assert versions["torch"] == torch.__version__.split("+")[0] and set(versions) == {"torch", "transformers"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": -2}, "got -2"),
        ({"batch_size": True}, "got True"),
        ({"seq_len": 0}, "seq_len"),
        ({"seq_len": 1.5}, "got 1.5"),
        ({"decoder_seq_len": -1}, "decoder_seq_len"),
        ({"new_tokens": 3}, "new_tokens"),
        ({"seq_len": 129}, "129 is beyond the 128 learned positions"),
    ],
)
def test_wrong_workloads(options: dict[str, int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        trace(tiny_config("bert"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "bfloat61"}, "Did you mean 'bfloat16'"),
        ({"dtype": "int8"}, "Unknown dtype 'int8'"),
        ({"execution": "cudagraph"}, "Did you mean 'cuda_graph'"),
        ({"task": "causal-ml"}, "Did you mean 'causal-lm'"),
    ],
)
def test_unknown_names_in_a_workload(options: dict[str, str], words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        trace(tiny_config("bert"), **options)  # type: ignore[arg-type]
    if "execution" in options:
        with pytest.raises(UnknownName, match=words):
            trace(torch.nn.Linear(2, 2), torch.zeros(1, 2), execution=options["execution"])


@pytest.mark.parametrize("thing", [{}, 3, None, print])
def test_what_is_no_model(thing: object) -> None:
    with pytest.raises(BadInput, match=f"got {type(thing).__name__}"):
        trace(thing)


def test_a_cache_with_too_few_layers_says_what_to_change() -> None:
    """Blenderbot's config gives the encoder's layers for the cache of its decoder."""
    sizes = {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = AutoConfig.for_model("blenderbot", encoder_layers=1, decoder_layers=3, **sizes, **heads)
    with pytest.raises(Untraceable, match="set num_hidden_layers to the number of decoder layers"):
        trace(config, task="causal-lm", seq_len=8)
    config.num_hidden_layers = 3
    paths = {node.path for node in trace(config, task="causal-lm", seq_len=8).root.walk()}
    assert "model.decoder.layers.2" in paths


def test_names_load_on_first_use() -> None:
    assert callable(irene.tracing.trace)  # that the import waits for it is in test_house
    with pytest.raises(AttributeError, match="'irene.tracing' has no attribute 'trase'"):
        irene.tracing.trase  # noqa: B018
