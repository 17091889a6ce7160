"""A recorded `generate`: its phases, what its steps find in the cache, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig

from irene.errors import BadInput, Untraceable
from irene.model_tree.tree import Node
from irene.model_tree.workload import Workload
from irene.tracing import generate_tracing, generation
from irene.tracing.decode_steps import StepTracer
from irene.tracing.generate_tracing import GenerateTracer, trace_generate
from irene.tracing.generation import trace_continuation
from tests.tracing.tiny_models import tiny_config

WORK = Workload(batch_size=2, seq_len=7, task="causal-lm", new_tokens=5)


def key_lengths(node: Node) -> set[int]:
    """Tokens that attention looks at."""
    calls = [leaf.call for leaf in node.leaves if leaf.call is not None]
    return {call.tensors[1].shape[-2] for call in calls if call.name == "scaled_dot_product_attention"}


def test_phases_and_what_their_attention_sees() -> None:
    found = trace_generate(tiny_config("llama"), WORK, 7)
    assert [phase.name for phase in found.phases] == ["prefill", "decode", "decode"]
    assert [key_lengths(phase.root) for phase in found.phases] == [{7}, {8}, {9}]
    reads = {leaf.call.name for leaf in found.step.root.children if leaf.call is not None}
    assert {"argmax", "is_nonzero"} <= reads  # what `generate` does between its passes


def test_an_encoder_is_a_phase_and_the_decoder_begins_with_its_start_token() -> None:
    found = trace_generate(tiny_config("t5"), Workload(batch_size=2, seq_len=7, task="seq2seq-lm", new_tokens=3), 1)
    assert [phase.name for phase in found.phases] == ["encode", "prefill", "decode", "decode"]
    paths = [{node.path for node in phase.root.walk() if node.kind == "module"} for phase in found.phases]
    assert "encode.model.encoder" in paths[0] and not any("encoder." in path for path in paths[1])


def test_a_generation_that_ends_early_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class EndsEarly(torch.nn.Module):
        def __init__(self, model: Any, *_: object) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, **_: object) -> None:
            self.model(input_ids=input_ids)

    monkeypatch.setattr(generate_tracing, "Generation", EndsEarly)
    with pytest.raises(Untraceable, match="1 passes for 3 tokens"):
        trace_generate(tiny_config("llama"), WORK, 7)


DEEP = {"t5": {"num_layers": 6}, "gemma2": {"num_hidden_layers": 10}}


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("architecture", ["llama", "mixtral", "gemma2", "t5"])
def test_layers_that_were_not_run_are_as_if_they_had_been(architecture: str, cache: str) -> None:
    """Calls, weights and memory of every phase, against a recording of every layer."""
    config = tiny_config(architecture, **DEEP.get(architecture, {"num_hidden_layers": 7}))
    task = "seq2seq-lm" if architecture == "t5" else "causal-lm"
    static_len = 60 if cache == "static" else None
    work = Workload(batch_size=2, seq_len=7, task=task, new_tokens=20, cache=cache, cache_len=static_len)
    tracer = GenerateTracer(config, work)
    prompt_len = 1 if architecture == "t5" else 33
    found, plain = tracer.trace(prompt_len), trace_generate(config, work, prompt_len)
    assert [phase.root for phase in found.phases] == [phase.root for phase in plain.phases]
    for phase, whole in zip(found.phases, plain.phases, strict=True):  # to two of the allocator's blocks
        assert (phase.before_bytes, phase.peak_bytes) == pytest.approx((whole.before_bytes, whole.peak_bytes), abs=1024)
    assert len(found.ran[-1]) < len(plain.ran[-1]), "some layers were not run"
    assert tracer.trace(prompt_len) == found, "the model is as it was"


def test_layers_that_do_not_do_the_same_are_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("llama", num_hidden_layers=7)

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return y + 1 if self.number == 1 else y

    def number(model: Any) -> Any:
        for place, layer in enumerate(model.model.layers):
            layer.mlp.number = place
            layer.mlp.forward = forward.__get__(layer.mlp)
        return model

    build = generate_tracing.build_model
    monkeypatch.setattr(generate_tracing, "build_model", lambda *args: number(build(*args)))
    found = GenerateTracer(config, WORK).trace(7)
    assert found.ran == trace_generate(config, WORK, 7).ran


@pytest.mark.parametrize("architecture", ["llama", "mixtral", "gpt_neox", "mistral"])
def test_steps_that_follow_are_those_that_are_traced(architecture: str) -> None:
    """Mistral's window of 32 tokens is left before the last step: there, every step is traced."""
    config, contexts = tiny_config(architecture, num_hidden_layers=5), [7, 20, 33, 47, 60]
    work = Workload(batch_size=2, seq_len=7, task="causal-lm", new_tokens=55)
    steps = StepTracer(config, work, 7).trace_steps(contexts)
    assert [step.context_len for step in steps] == contexts
    assert any(step.becomes for step in steps) == (architecture != "mistral")
    for step in steps:
        plain = trace_generate(config, work, step.context_len - 1).step
        calls = [leaf.call for leaf in step.phase.root.leaves if leaf.call is not None]
        becomes = step.becomes or {}
        assert [becomes.get(call, call) for call in calls] == [leaf.call for leaf in plain.root.leaves]


def test_a_full_window_changes_the_step() -> None:
    """Mistral's window of 32 tokens: steps before and behind it are of different forms or shapes."""
    tracer = StepTracer(tiny_config("mistral"), WORK, 7)
    assert key_lengths(tracer.trace_step(20).phase.root) == {21}
    assert key_lengths(tracer.trace_step(60).phase.root) == {32}


def test_memory_before_a_step_is_the_cache() -> None:
    """Two layers of keys and values, 2 heads of 8, two bytes each, two samples; and some ids and masks."""
    one, other = (trace_generate(tiny_config("llama"), WORK, length).step for length in (1000, 2000))
    grown_bytes = (other.before_bytes - one.before_bytes) / 1000
    assert 2 * 2 * 2 * 8 * 2 * 2 <= grown_bytes <= 2 * 2 * 2 * 8 * 2 * 2 + 4 * 8 * 2
    assert one.peak_bytes > one.before_bytes


def test_a_static_cache_is_seen_whole() -> None:
    work = Workload(batch_size=2, seq_len=7, task="causal-lm", new_tokens=5, cache="static", cache_len=64)
    found = trace_generate(tiny_config("llama"), work, 7)
    assert key_lengths(found.step.root) == {64}


def test_a_continuation_finds_its_context() -> None:
    work = Workload(batch_size=2, seq_len=3, task="causal-lm", context_len=11)
    root = trace_continuation(tiny_config("llama"), work).root
    assert (root.kind, root.path) == ("model", "")
    assert key_lengths(root) == {14}
    assert any(node.path == "model.layers.1.self_attn" for node in root.walk())


def test_an_encoder_generates_nothing() -> None:
    for encoder in ("bert", "vit"):
        with pytest.raises(BadInput, match="generates no tokens"):
            generation.generation_task(tiny_config(encoder))
    assert generation.generation_task(tiny_config("gpt2")) == "causal-lm"


def test_what_follows_the_last_step_is_no_part_of_it() -> None:
    """Whisper looks at its tokens again when it has them all."""
    sizes = {"d_model": 32, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_mel_bins": 8}
    sizes |= {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 200}
    special = {"decoder_start_token_id": 1, "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 2}
    config = AutoConfig.for_model("whisper", **sizes, **special, max_source_positions=50)
    work = Workload(batch_size=2, seq_len=None, task="seq2seq-lm", new_tokens=3)
    opening, *steps = [
        [leaf.call.op for leaf in phase.root.children if leaf.call is not None]
        for phase in trace_generate(config, work, 1).phases[1:]
    ]
    assert steps[0] == steps[1] and len(opening) >= len(steps[0])


def test_a_decoder_that_hears_sound_generates_from_text() -> None:
    """Transformers lists its class beside those of encoder-decoders, and it is none."""
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = small | {"model_type": "llama", "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 99}
    config = AutoConfig.for_model("voxtral", audio_config=small, text_config=text)
    work = Workload(batch_size=2, seq_len=7, task=generation.generation_task(config), new_tokens=3, images=0)
    assert work.task == "seq2seq-lm"
    assert [phase.name for phase in trace_generate(config, work, 7).phases] == ["prefill", "decode", "decode"]
