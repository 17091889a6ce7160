"""Models that name a device themselves: 'cuda', or 'cuda if available', which is 'cpu' where no GPU is.

On the GPU that a prediction is for, such tensors lie beside the model's own. A function mode belongs to the thread and
sees calls before torch looks for a GPU; it is on only where a model was refused for its devices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

NOTE = "It names its device itself; where it says 'cuda', or 'cpu' for want of a GPU here, the model's GPU is taken."
MIXED = (
    "it mixes tensors of the CPU with the model's, which torch refuses on a GPU. Make them where the input is "
    "(device=x.device)."
)


class OnTheGpu(TorchFunctionMode):
    """Devices that are named inside are the model's: meta."""

    def __init__(self) -> None:
        super().__init__()
        self._named = ("cuda",) if torch.cuda.is_available() else ("cuda", "cpu")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return args[0] if args[0].is_meta else args[0].to("meta")
        if func is torch.Tensor.to:
            args = (args[0], *(self._place(value) for value in args[1:]))
        if kwargs.get("device") is not None:
            kwargs["device"] = self._place(kwargs["device"])
        return func(*args, **kwargs)

    def _place(self, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return torch.device("meta")  # the number of a GPU
        named = value.type if isinstance(value, torch.device) else value.split(":")[0] if isinstance(value, str) else ""
        return torch.device("meta") if named in self._named else value


def is_about_devices(reason: str) -> bool:
    """Whether a model was refused for the devices of its tensors."""
    return any(words in reason for words in ("device", "CUDA", "NVIDIA", "(aten.to.", "(aten._to_copy"))
