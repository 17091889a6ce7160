"""Where the feed-forwards of a model lie, under the names that its library's classes have for them, and their sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

_ACTIVATIONS = ("act_fn", "act", "activation_fn", "activation", "intermediate_act_fn")
# Modules whose forward takes the hidden states alone: (first products, second product); two first ones are gated.
_INSIDE = (
    (("gate_proj", "up_proj"), "down_proj"), (("c_fc",), "c_proj"), (("fc_in",), "fc_out"), (("lin1",), "lin2"),
    (("wi_0", "wi_1"), "wo"), (("wi",), "wo"), (("dense_h_to_4h",), "dense_4h_to_h"), (("fc1",), "fc2"),
)  # fmt: skip
# Layers that hold both products and the activation between them: OPT's and BART's, ALBERT's.
_BESIDE = (("fc1", "fc2", "activation_fn"), ("ffn", "ffn_output", "activation"))
_TAKES_MORE = ("BloomMLP",)  # the residual too


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A feed-forward in its layer: W_2 a(W_1 x), or W_2 (a(W_g x) * W_1 x) where it is gated.

    `width` is that of x, `inner` that between the products. `replace` puts another module in its place, which takes x
    and gives as much; norm and residual around it stay.
    """

    width: int
    inner: int
    is_gated: bool
    has_bias: bool
    activation: Callable[[torch.Tensor], torch.Tensor]
    example: torch.Tensor
    replace: Callable[[torch.nn.Module], None]


def find_feed_forwards(module: Any) -> list[FeedForward]:
    """Every feed-forward, in the order of the layers; a layer that others share is found once."""
    return [found for part in module.modules() for found in _of(part)]


def _of(part: Any) -> Iterator[FeedForward]:
    """The feed-forwards right below one module."""
    inner: Any = getattr(part, "intermediate", None)
    outer: Any = getattr(part, "output", None)
    if hasattr(inner, "intermediate_act_fn") and isinstance(getattr(outer, "dense", None), torch.nn.Linear):
        yield _described(inner, (inner.dense,), outer.dense, _in_halves(part))
        return
    for first, second, activation in _BESIDE:
        products = [getattr(part, name, None) for name in (first, second)]
        is_layer = hasattr(part, activation) and (hasattr(part, "self_attn") or hasattr(part, "attention"))
        if is_layer and all(isinstance(product, torch.nn.Linear) for product in products):
            yield _described(part, products[:1], products[1], _in_pieces(part, first, second, activation))
            return
    for name, child in part.named_children():
        is_whole = not hasattr(child, "self_attn") and type(child).__name__ not in _TAKES_MORE
        if not is_whole or _find_activation(child) is None:
            continue
        for firsts, last in _INSIDE:
            found = [getattr(child, each, None) for each in (*firsts, last)]
            if all(map(_is_product, found)):
                yield _described(child, found[:-1], found[-1], _whole(part, name))
                break


def _described(holder: Any, firsts: Any, last: Any, replace: Callable[[torch.nn.Module], None]) -> FeedForward:
    inner, width = _sizes(last)
    activation = _find_activation(holder)
    assert activation is not None
    has_bias = getattr(last, "bias", None) is not None
    return FeedForward(width, inner, len(firsts) > 1, has_bias, activation, last.weight, replace)


def _find_activation(holder: Any) -> Any:
    return next((getattr(holder, name) for name in _ACTIVATIONS if callable(getattr(holder, name, None))), None)


def _is_product(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def _sizes(product: Any) -> tuple[int, int]:
    """(in, out) features; GPT-2's Conv1D keeps its weight the other way round."""
    first, second = product.weight.shape
    return (first, second) if type(product).__name__ == "Conv1D" else (second, first)


def _whole(parent: Any, name: str) -> Callable[[torch.nn.Module], None]:
    return lambda new: setattr(parent, name, new)


def _in_halves(layer: Any) -> Callable[[torch.nn.Module], None]:
    def replace(new: torch.nn.Module) -> None:
        layer.intermediate, layer.output.dense = torch.nn.Identity(), new

    return replace


def _in_pieces(layer: Any, first: str, second: str, activation: str) -> Callable[[torch.nn.Module], None]:
    def replace(new: torch.nn.Module) -> None:
        setattr(layer, first, torch.nn.Identity())
        setattr(layer, activation, torch.nn.Identity())
        setattr(layer, second, new)

    return replace
