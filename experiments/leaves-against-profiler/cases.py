"""The models that are compared: every kind of Transformer, real widths, few of the layers that only repeat.

Each case names a bundled config (some settings changed) or builds a `torch.nn.Module`, and its batch size and tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoConfig

from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace, trace_config

ModuleBuilder = Callable[[], tuple[torch.nn.Module, tuple[Any, ...]]]


@dataclass(frozen=True)
class Case:
    """One comparison; `config` is a bundled name, or arguments of a transformers config; `changes` are made to it."""

    name: str
    kind: str
    batch_size: int = 2
    seq_len: int = 128
    dtype: str = "bfloat16"
    task: str = "base"
    config: str | dict[str, Any] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    module: ModuleBuilder | None = None

    def trace(self) -> ModelTree:
        """The tree, traced without a device."""
        if self.module is not None:
            module, inputs = self.module()
            dtype = getattr(torch, self.dtype)
            return trace(module.to(dtype), tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs))
        return trace_config(self._config(), self._workload(), self.name)

    def build(self, device: torch.device) -> Callable[[], Any]:
        """The model on the device, its inputs bound: call it for one forward pass."""
        if self.module is not None:
            module, inputs = self.module()
            dtype = getattr(torch, self.dtype)
            module = module.to(device, dtype).eval()
            moved = tuple(x.to(device, dtype) if x.is_floating_point() else x.to(device) for x in inputs)
            return lambda: module(*moved)
        model = build_model(self._config(), self.task, getattr(torch, self.dtype), str(device))
        arguments = build_inputs(model.config, model.main_input_name, self._workload(), device)
        return lambda: model(**arguments)

    def _workload(self) -> Workload:
        return Workload(batch_size=self.batch_size, seq_len=self.seq_len, dtype=self.dtype, task=self.task)

    def _config(self) -> Any:
        if isinstance(self.config, dict):
            config = AutoConfig.for_model(**self.config)
        else:
            config = load_config(self.config or self.name)
        for key, value in self.changes.items():
            target = config
            *parts, last = key.split(".")
            for part in parts:
                target = getattr(target, part)
            setattr(target, last, value)
        return config


def _encoder_of_torch() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    layer = torch.nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True)
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.randn(4, 128, 768),)


class SelfAttention(torch.nn.Module):
    """`nn.MultiheadAttention` as most code calls it, without its weights, between other modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(512)
        self.attention = torch.nn.MultiheadAttention(512, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


def _attention_of_torch() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    return SelfAttention(), (torch.randn(4, 128, 512),)


class Hybrid(torch.nn.Module):
    """Convolutions, then attention over what they leave, then pooling: in-place, broadcast and copying calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(64), torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(3, 2, 1), torch.nn.Conv2d(64, 128, 3, 2, 1), torch.nn.SiLU(),
        )  # fmt: skip
        self.qkv, self.out = torch.nn.Linear(128, 384), torch.nn.Linear(128, 128)
        self.scale = torch.nn.Parameter(torch.ones(128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        batch, length, _ = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, 4, 32).permute(2, 0, 3, 1, 4)
        y = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.scale * self.out(y.transpose(1, 2).reshape(batch, length, 128))
        x = x.float().mul_(2).to(y.dtype).add_(self.scale.expand_as(x))
        return x.mean(1).unsqueeze(1).expand(-1, 4, -1).contiguous()


def _hybrid() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    return Hybrid(), (torch.randn(4, 3, 224, 224),)


_TWO = {"num_hidden_layers": 2}
CASES = (
    Case("bert-base-uncased", "encoder", 8, 128),
    Case("bert-base-uncased float32", "encoder, float32", 8, 128, "float32", config="bert-base-uncased", changes=_TWO),
    Case("albert-base-v2", "encoder, shared layers"),
    Case("microsoft/deberta-v3-base", "disentangled attention", 2, 128, changes={"num_hidden_layers": 3}),
    Case("mobilebert-uncased", "encoder, bottlenecks", changes=_TWO),
    Case("gpt2", "decoder", 8, 128),
    Case("meta-llama/Llama-3.1-8B", "decoder, grouped-query", 1, 512, task="causal-lm"),
    Case("mistralai/Mistral-7B-v0.1", "sliding window", 1, 4608, changes=_TWO | {"max_position_embeddings": 8192}),
    Case("bigscience/bloom-560m", "ALiBi", changes=_TWO),
    Case("tiiuae/falcon-7b", "multi-query", 1, 128, changes=_TWO),
    Case("microsoft/phi-2", "decoder, parallel", 1, 128, changes=_TWO),
    Case("openai/gpt-oss-20b", "MoE, attention sinks", 1, 128, changes=_TWO),
    Case("mistralai/Mixtral-8x7B-v0.1", "MoE", 1, 128, changes=_TWO),
    Case("Qwen/Qwen1.5-MoE-A2.7B", "MoE, shared expert", 1, 128, changes=_TWO),
    Case("Qwen/Qwen3-30B-A3B", "MoE, many experts", 1, 128, "float32", changes=_TWO),
    Case("DeepSeek-V3 layers", "MoE, latent attention", 1, 128, config={
        "model_type": "deepseek_v3", "num_hidden_layers": 2, "first_k_dense_replace": 1, "n_routed_experts": 64}),
    Case("google-t5/t5-base", "encoder-decoder", changes={"num_layers": 2, "num_decoder_layers": 2}),
    Case("google/vit-base-patch16-224", "vision", 4, changes=_TWO),
    Case("microsoft/swin-tiny-patch4-window7-224", "vision, shifted windows", 4),
    Case("facebook/dinov2-base", "vision", 4, changes=_TWO),
    Case("openai/clip-vit-base-patch32", "two towers", 2, 77,
         changes={"text_config.num_hidden_layers": 2, "vision_config.num_hidden_layers": 2}),
    Case("openai/whisper-base", "speech, encoder-decoder", 1, 64),
    Case("facebook/wav2vec2-base", "speech", 2, changes=_TWO),
    Case("nn.TransformerEncoder", "module, fused fast path", module=_encoder_of_torch),
    Case("nn.TransformerEncoder float32", "module, fused fast path", dtype="float32", module=_encoder_of_torch),
    Case("nn.MultiheadAttention", "module, fused fast path", module=_attention_of_torch),
    Case("convolution + attention", "module, hybrid", module=_hybrid),
)  # fmt: skip
