"""A linear layer whose weight is stored otherwise, and how a model's linear layers are replaced by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from irene.errors import BadInput


class PackedLinear(torch.nn.Module):
    """(..., K) -> (..., N): x W^T + b of a weight in few bits; subclasses say how rows are multiplied."""

    def __init__(self, like: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = like.in_features, like.out_features
        self.dtype = like.weight.dtype
        self.bias: Any = None if like.bias is None else torch.nn.Parameter(like.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.multiply(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """(M, K) -> (M, N)."""
        raise NotImplementedError

    def keep(self, **parts: torch.Tensor) -> None:
        """Register what the weight consists of: buffers, so that their bytes count as the model's."""
        for name, part in parts.items():
            self.register_buffer(name, part)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


Maker = Callable[[torch.nn.Linear], torch.nn.Module]


def replace_linears(module: Any, make: Maker, variant: str, kept: Sequence[str] = ()) -> Any:
    """The module with its linear layers made anew, but for those that libraries leave as they are.

    These are the output layer and the heads of tasks, routers, adapters, layers of fewer than 16 outputs (gates), and
    those whose name a pattern of `kept` fits. Raises BadInput where nothing is left to replace.
    """
    found = list(_linears(module, kept))
    if not found:
        raise BadInput(f"+{variant}: {type(module).__name__} has no linear layer that could be replaced.")
    with torch.no_grad():
        for parent, name, linear in found:
            setattr(parent, name, make(_as_linear(linear)))
    return module


def _as_linear(layer: Any) -> torch.nn.Linear:
    """A linear layer as it is; GPT-2's `Conv1D`, whose weight lies the other way round, as one that was turned over."""
    if isinstance(layer, torch.nn.Linear):
        return layer
    inputs, outputs = layer.weight.shape
    linear = torch.nn.Linear(inputs, outputs, device="meta", dtype=layer.weight.dtype)
    linear.weight, linear.bias = torch.nn.Parameter(layer.weight.t().contiguous()), layer.bias
    return linear


def is_kept(name: str, patterns: Sequence[str]) -> bool:
    """Whether a module's name fits a pattern, as transformers and compressed-tensors read these.

    A pattern is the beginning or the end of a name or a regular expression, of the model with a head or without.

    >>> is_kept("layers.3.self_attn.q_proj", ["model.layers.*.self_attn", "lm_head"])
    True
    >>> is_kept("model.layers.11.mlp", ["model.layers.1"]), is_kept("layers.1.mlp.gate", ["re:.*gate$"])
    (False, True)
    """
    for pattern in patterns:
        expression = pattern.removeprefix("re:")
        for spelled in (name, f"model.{name}"):
            if spelled.endswith(pattern) or re.match(rf"(?:{expression})(?:(?<=\.)|(?=\.|$))", spelled):
                return True
    return False


def _linears(module: Any, kept: Sequence[str]) -> Iterator[tuple[Any, str, torch.nn.Linear]]:
    heads = {id(head) for head in _heads(module)}
    for path, parent in module.named_modules():
        for name, child in parent.named_children():
            is_wide = id(child) in heads or name in getattr(parent, "stays_wide", ())
            is_large = (type(child) is torch.nn.Linear and child.out_features >= 16) or type(child).__name__ == "Conv1D"
            if is_large and not is_wide and not is_kept(f"{path}.{name}" if path else name, kept):
                yield parent, name, child


def _heads(module: Any) -> list[Any]:
    """The layers that give a model's answer: no library quantises them unless told."""
    get = getattr(module, "get_output_embeddings", None)
    heads = [get()] if get is not None else []
    base = getattr(module, getattr(module, "base_model_prefix", "") or "-", None)
    if base is not None:  # a task's model: what stands beside its base is its head
        heads += [part for child in module.children() if child is not base for part in child.modules()]
    return [head for head in heads if head is not None]


def require_multiple(linear: torch.nn.Linear, variant: str, in_features: int, out_features: int = 1) -> None:
    """Raise BadInput for a layer whose sizes the kernel cannot take."""
    for size, step, what in (
        (linear.in_features, in_features, "inputs"),
        (linear.out_features, out_features, "outputs"),
    ):
        if size % step:
            raise BadInput(
                f"+{variant}: a layer of {size} {what} cannot be packed: its kernel wants multiples of {step}."
            )
