"""Batch norms of a model with random weights, given the statistics that training would leave: signals keep their size.

Untrained ones hold mean 0 and variance 1, whatever comes in, and some libraries draw their scales around zero. With
small weights signals then shrink from layer to layer, in EfficientNet, MobileNet and MobileViT to zeros, and a GPU
draws less on zeros than on data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

SETTLING_BATCH = 8  # samples: a norm of one value a channel has no variance


def batch_norms(model: torch.nn.Module) -> list[_BatchNorm]:
    """Those that hold running statistics, in the order of registration."""
    return [norm for norm in model.modules() if isinstance(norm, _BatchNorm) and norm.running_mean is not None]


def settle_batch_norms(model: torch.nn.Module, inputs: Mapping[str, Any]) -> None:
    """Scales of 1, and after one forward pass over `inputs` (a batch of two and more) the statistics seen there.

    Each norm goes by its own batch meanwhile, so that those behind it see what they will see in evaluation. All else
    (dropout, the mode of every module) stays as it is.
    """
    norms = batch_norms(model)
    before = [(norm.training, norm.momentum) for norm in norms]
    try:
        for norm in norms:
            norm.reset_parameters()
            norm.training, norm.momentum = True, 1.0
        with torch.no_grad():
            model(**inputs)
    finally:
        for norm, (training, momentum) in zip(norms, before, strict=True):
            norm.training, norm.momentum = training, momentum
