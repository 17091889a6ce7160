"""Automatic mixed precision: the casts that `torch.autocast("cuda")` makes on a GPU, made on meta tensors.

torch casts by the device of the tensors, above the level that a dispatch mode sees, and knows no autocast of meta
tensors; on a machine without a GPU it even switches autocast off with a warning. So the contexts that a model enters
are watched, in the thread that records it alone. Which operators run in which dtype: torch
`aten/src/ATen/autocast_mode.h`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.amp.autocast_mode import autocast
from torch.utils._pytree import tree_map

from irene.locks import hold_over_fork

_LOWER = set(
    "_convolution conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution prelu "
    "addmm addmv addr matmul einsum mm mv linalg_vecdot linear addbmm baddbmm bmm chain_matmul linalg_multi_dot "
    "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell scaled_dot_product_attention".split()
)
_FLOAT32 = set(
    "acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow softplus layer_norm "
    "native_layer_norm rms_norm group_norm frobenius_norm nuclear_norm cosine_similarity poisson_nll_loss "
    "cosine_embedding_loss nll_loss nll_loss2d hinge_embedding_loss kl_div l1_loss smooth_l1_loss huber_loss mse_loss "
    "margin_ranking_loss multilabel_margin_loss soft_margin_loss triplet_margin_loss multi_margin_loss "
    "binary_cross_entropy_with_logits dist pdist cdist renorm logsumexp norm upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d".split()
)
_FLOAT32_RESULT = set("prod softmax log_softmax cumprod cumsum linalg_vector_norm linalg_matrix_norm sum".split())
_WIDEST = set(
    "addcdiv addcmul atan2 bilinear cross dot vdot grid_sampler index_put tensordot scatter_add cat stack".split()
)
_CASTING = _LOWER | _FLOAT32 | _FLOAT32_RESULT | _WIDEST

_here = threading.local()
_patching = hold_over_fork(threading.Lock())
_users = 0

Cast = Callable[[torch.Tensor, torch.dtype], torch.Tensor]


class Autocast:
    """The casts of one forward pass; a weight is cast once for as long as autocast lasts."""

    def __init__(self) -> None:
        self._weights: dict[tuple[int, torch.dtype], tuple[torch.Tensor, torch.Tensor]] = {}

    def cast(
        self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], lower: torch.dtype, to: Cast
    ) -> tuple[Any, Any]:
        """The arguments as they reach the kernel where `lower` is autocast's dtype; `to` makes each cast."""
        name = op.split(".")[1]
        if name not in _CASTING:
            return args, kwargs
        if name in _FLOAT32_RESULT:
            is_given = kwargs.get("dtype") is not None or any(isinstance(a, torch.dtype) for a in args)
            is_lower = isinstance(args[0], torch.Tensor) and args[0].dtype in (torch.float16, torch.bfloat16)
            if is_lower and name not in ("softmax", "log_softmax") and not is_given:
                return args, {**kwargs, "dtype": torch.float32}
            if is_lower and not is_given:  # their dtype is the third argument
                return (*args[:2], torch.float32), {key: v for key, v in kwargs.items() if key != "dtype"}
            return args, kwargs
        target = lower if name in _LOWER else torch.float32
        if name in _WIDEST:
            floats = {t.dtype for t in _floats((args, kwargs))}
            target = torch.float32 if torch.float32 in floats else lower

        def cast_one(value: Any) -> Any:
            if not _is_cast(value) or value.dtype == target:
                return value
            if target != lower or value.dtype != torch.float32 or not _is_weight(value):
                return to(value, target)
            key = id(value), target
            if key not in self._weights:
                self._weights[key] = value, to(value, target)
            return self._weights[key][1]

        return tree_map(cast_one, (args, kwargs))  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Autocast has ended, and with it what it kept of weights."""
        if self._weights and nesting() == 0:
            self._weights.clear()


def _floats(values: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    tree_map(lambda value: found.append(value) if _is_cast(value) else None, values)
    return found


def _is_cast(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != torch.float64


def _is_weight(tensor: torch.Tensor) -> bool:
    """Whether torch keeps its cast: of leaves that are trained."""
    return tensor.requires_grad and tensor.is_leaf and not tensor._is_view() and torch.is_autocast_cache_enabled()


def nesting() -> int:
    """How many autocast contexts this thread is in, also such as are switched off."""
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())


@contextmanager
def autocast_as_on_a_gpu() -> Iterator[None]:
    """Autocast of 'cuda', or of a meta tensor's device, counts in this thread although no GPU may be here."""
    global _users
    with _patching:
        _users += 1
        if _users == 1:
            _patch(_init_here, _enter_here, _exit_here)
    was = vars(_here).copy()
    _here.records, _here.dtype = True, torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    try:
        yield
    finally:
        vars(_here).clear()
        vars(_here).update(was)
        with _patching:
            _users -= 1
            if _users == 0:
                _patch(_init, _enter, _exit)


def current_dtype() -> torch.dtype | None:
    """What autocast of a GPU casts to in this thread while a model is recorded; None where it is off."""
    return getattr(_here, "dtype", None)


_init, _enter, _exit = autocast.__init__, autocast.__enter__, autocast.__exit__


def _patch(*methods: Any) -> None:
    for name, method in zip(("__init__", "__enter__", "__exit__"), methods, strict=True):
        setattr(autocast, name, method)


def _forget_other_threads() -> None:
    """In a forked child: those that were recording are not there to undo it."""
    global _users
    _users = 1 if getattr(_here, "records", False) else 0
    if _users == 0:
        _patch(_init, _enter, _exit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def _init_here(
    self: Any, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
) -> None:
    is_followed = getattr(_here, "records", False) and device_type in ("cuda", "meta")
    _init(self, "cuda" if is_followed else device_type, dtype, enabled and not is_followed, cache_enabled)
    self._enabled = enabled if is_followed else self._enabled  # torch switches it off where it finds no GPU


def _enter_here(self: Any) -> Any:
    if getattr(_here, "records", False) and self.device == "cuda":
        self._irene_dtype = _here.dtype
        _here.dtype = self.fast_dtype if self._enabled else None
    return _enter(self)


def _exit_here(self: Any, *error: Any) -> Any:
    if getattr(_here, "records", False) and self.device == "cuda":
        _here.dtype = self._irene_dtype
    return _exit(self, *error)
