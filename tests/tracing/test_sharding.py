import copy

import pytest
import torch

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing.building import build_model
from irene.tracing.generation import generation_task
from irene.tracing.parallel_plan import find_plan
from irene.tracing.sharding import shard_model
from irene.tracing.tracer import trace_config
from tests.tracing.tiny_models import tiny_config

DECODERS = ("llama", "qwen3", "mixtral", "phi3", "gpt2", "opt", "gpt_neox")
ENCODERS = ("bert", "vit", "distilbert")


def ops_of(architecture: str, gpus: int, **changes: object) -> list[str]:
    workload = Workload(batch_size=2, seq_len=8, gpus=gpus, **changes)  # type: ignore[arg-type]
    tree = trace_config(tiny_config(architecture), workload, architecture)
    return [leaf.call.op for leaf in tree.root.leaves if leaf.call is not None]


@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_two_all_reduces_a_layer(architecture: str) -> None:
    whole, shared = ops_of(architecture, 1), ops_of(architecture, 2)
    layers, is_planned = 2, architecture in ("llama", "qwen3", "mixtral", "phi3", "gpt_neox")
    assert not any("collective" in op for op in whole)
    assert shared.count("collective.all_reduce_.default") == 2 * layers + is_planned  # and one for the vocabulary
    assert [op for op in shared if op == "aten.linear.default"] == [op for op in whole if op == "aten.linear.default"]


def test_products_and_memory_are_shared_and_their_sum_is_the_whole() -> None:
    def flop(gpus: int) -> int:
        tree = trace_config(
            tiny_config("llama"), Workload(batch_size=2, seq_len=8, gpus=gpus, task="causal-lm"), "llama"
        )
        calls = [leaf.call for leaf in tree.root.leaves if leaf.call is not None]
        return sum(2 * c.tensors[0].numel * c.tensors[1].shape[0] for c in calls if c.name == "linear")

    config = tiny_config("llama", vocab_size=100)
    trees = [trace_config(config, Workload(seq_len=8, gpus=gpus, task="causal-lm"), "llama") for gpus in (1, 2)]
    assert trees[0].memory is not None and trees[1].memory is not None
    assert 0.5 < trees[1].memory.weights / trees[0].memory.weights < 0.75  # tiny weights are rounded up
    assert trees[0].root.parameters < 2 * trees[1].root.parameters < 1.1 * trees[0].root.parameters  # norms are whole
    assert flop(1) < 2 * flop(2) < 1.03 * flop(1)  # 99 words cannot be cut in two


def test_what_cannot_be_cut_evenly_is_said() -> None:
    odd = trace_config(tiny_config("llama"), Workload(seq_len=8, gpus=2, task="causal-lm"), "llama")
    assert [note for note in odd.notes if note.startswith("Ranks differ: embed_tokens, lm_head")]
    even = trace_config(tiny_config("llama", vocab_size=100), Workload(seq_len=8, gpus=2), "llama")
    assert even.notes == ()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "t5", "albert"])
def test_ranks_together_compute_what_one_does(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ranks in one process, each exchange handed over: the numbers are those of the whole model."""
    config = tiny_config(architecture, vocab_size=100)
    torch.manual_seed(0)
    whole = build_model(config, "base", torch.float32, "cpu")
    inputs = {"input_ids": torch.arange(8)[None]}
    if architecture == "t5":
        inputs["decoder_input_ids"] = torch.arange(4)[None]
    ranks = [copy.deepcopy(whole) for _ in range(2)]
    for rank, model in enumerate(ranks):
        shard_model(model, 2, rank)
    results = run_both(ranks, inputs, monkeypatch)
    with torch.inference_mode():
        expected = whole(**inputs)[0]
    for result in results:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def run_both(models: list[torch.nn.Module], inputs: dict[str, torch.Tensor], patch: pytest.MonkeyPatch) -> list[object]:
    """Each rank in a thread; a barrier at every exchange."""
    import threading

    from irene.tracing import sharding

    slots: list[torch.Tensor | None] = [None, None]
    barrier = threading.Barrier(2, timeout=30)
    here = threading.local()

    class Exchanges:
        def all_reduce_(self, x: torch.Tensor, ranks: int) -> torch.Tensor:
            return self.swap(x, sum)

        def all_gather(self, x: torch.Tensor, ranks: int) -> torch.Tensor:
            return self.swap(x, torch.cat)

        def swap(self, x: torch.Tensor, join: object) -> torch.Tensor:
            slots[here.rank] = x
            barrier.wait()
            joined = join(list(slots))  # type: ignore[operator]
            barrier.wait()
            return joined  # type: ignore[no-any-return]

    patch.setattr(sharding, "collective_ops", Exchanges)
    found: list[object] = [None, None]

    def run(rank: int) -> None:
        here.rank = rank
        with torch.inference_mode():
            found[rank] = models[rank](**inputs)[0]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize(
    ("architecture", "changes", "gpus", "reason"),
    [
        ("llama", {}, 3, "4 attention heads .* cannot be divided among 3 GPUs; give 2, 4"),
        ("llama", {}, 8, "8 GPUs cannot share 4 attention heads"),
        ("llama", {}, 4, "4 GPUs cannot share 2 key value heads"),
        ("bart", {}, 3, "4 attention heads"),
    ],
)
def test_what_cannot_be_shared_is_said(architecture: str, changes: dict[str, object], gpus: int, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        ops_of(architecture, gpus)


def test_a_model_without_known_projections_is_refused() -> None:
    from transformers import ConvNextConfig

    config = ConvNextConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8], image_size=32)
    with pytest.raises(BadInput, match="no plan to split it"):
        trace_config(config, Workload(gpus=2), "convnext")


def test_the_process_group_is_not_touched() -> None:
    assert not torch.distributed.is_initialized()
    ops_of("llama", 2)
    assert not torch.distributed.is_initialized()


def test_the_plan_is_the_librarys_where_it_has_one() -> None:
    for architecture, expected in (("llama", True), ("bert", False)):
        task = generation_task(tiny_config("llama")) if expected else "base"
        model = build_model(tiny_config(architecture), task, torch.float32, "meta")
        assert find_plan(model, 2)[1] is expected
