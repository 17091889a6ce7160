"""The dtype and the settings that a prediction is for: as asked, as a module has them, and what of them is left out."""

from __future__ import annotations

from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.workload import read_dtype
from irene.tracing.autocasting import nesting
from irene.tracing.encoding import dtype_name
from irene.tracing.quantization import describe_quantization

_EVAL = (
    "It is in train() mode and priced in eval() mode, as for inference: no dropout, norms by their running statistics."
)
_EAGER = "torch.compile is not followed: this is eager PyTorch, whose kernels are others."
_NO_AUTOCAST = (
    "An autocast around the call is off and not followed (torch switches it off where it finds no GPU, and that of the "
    "CPU does not reach one): enter autocast inside forward."
)
_ACT_IN_TRAINING = (
    torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm, torch.nn.RNNBase,
    torch.nn.MultiheadAttention, torch.nn.RReLU, torch.nn.FractionalMaxPool2d,
)  # fmt: skip


def choose_dtype(model: Any, asked: Any) -> str:
    """The dtype to trace a model in: the one asked for, or the default; a module has its own (`dtype_of`)."""
    return dtype_of(model, asked) if isinstance(model, torch.nn.Module) else read_dtype(asked)


def dtype_of(module: torch.nn.Module, asked: Any) -> str:
    """The dtype of a module's weights, or tf32 where products of float32 use it; it has to be the one asked for.

    A module is traced as it is, not converted. Raises BadInput where another dtype is asked for.
    """
    own = list(dict.fromkeys(dtype_name(p.dtype) for p in module.parameters() if p.is_floating_point()))
    if asked is None:
        name = own[0] if own else "float32"
        return "tf32" if name == "float32" and _products_use_tf32() else name
    name = read_dtype(asked)
    if own and ("float32" if name == "tf32" else name) not in own:
        raise BadInput(
            f"dtype {name!r} was asked for, and the module's weights are {' and '.join(own)}. A module is traced as it "
            "is: convert it and its inputs first (module.to(dtype)), or leave dtype out."
        )
    return name


def _products_use_tf32() -> bool:
    """Whether this process set TF32 on; the old switch cannot be read where the new one was used."""
    products = torch.backends.cuda.matmul
    precision = getattr(products, "fp32_precision", None)  # since torch 2.9
    return bool(products.allow_tf32) if precision is None else precision == "tf32"


def notes_of(module: torch.nn.Module) -> tuple[str, ...]:
    """What of a module's settings a trace leaves out, in sentences."""
    parts = list(module.modules())
    notes = [_EVAL] if any(part.training and _acts_in_training(part) for part in parts) else []
    notes += [_EAGER] if any(map(_is_compiled, parts)) else []
    config = getattr(module, "config", None)
    quantization = describe_quantization(config) if hasattr(config, "model_type") else ""
    if quantization and getattr(module, "hf_quantizer", None) is None:
        notes.append(f"Its config says {quantization}; its weights are dense, and priced so.")
    return tuple(notes)


def _is_compiled(part: torch.nn.Module) -> bool:
    """Whether a module, or a function that it holds, went through `torch.compile`."""
    held = (*vars(part).values(), *vars(type(part)).values())
    is_whole = type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None
    return is_whole or any(hasattr(value, "_torchdynamo_orig_callable") for value in held)


def _acts_in_training(part: torch.nn.Module) -> bool:
    """Whether train() mode changes what a module does."""
    chance = getattr(part, "p", getattr(part, "dropout", 1.0))
    return isinstance(part, _ACT_IN_TRAINING) and chance != 0


def notes_of_surroundings() -> tuple[str, ...]:
    """What is set around the call and not followed."""
    return (_NO_AUTOCAST,) if nesting() and not torch.is_autocast_enabled("cuda") else ()
