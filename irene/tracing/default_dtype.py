"""Building a model in its dtype without changing what floats are in other threads.

`transformers` builds under `torch.set_default_dtype`, which holds for the whole process: what another thread makes
meanwhile is of the wrong dtype. On meta, where no value is lost by a cast, a mode of this thread does the same.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from irene.tracing.library import LIBRARY
from irene.tracing.module_index import list_modules

# They say the dtype themselves, or keep that of an array.
_EXPLICIT = {
    torch.Tensor.float, torch.Tensor.to, torch.Tensor.type, torch.Tensor.view, torch.from_numpy, torch.frombuffer,
    torch.Tensor.type_as, torch.Tensor.to_dense, torch.load,
}  # fmt: skip

# A quarter of what a large model's construction takes; on meta there is nothing to fill.
_FILLING = {
    torch.nn.init.kaiming_uniform_, torch.nn.init.uniform_, torch.nn.init.normal_, torch.nn.init.constant_,
}  # fmt: skip


class _DefaultDtype(TorchFunctionMode):
    """Floats that are made inside without a dtype are of this one."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.is_on = dtype, False

    def __enter__(self) -> Any:
        self.is_on = True
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.is_on = False
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        filled = kwargs.get("tensor") if func in _FILLING else None
        if filled is not None and filled.is_meta:
            return filled
        before = torch.get_default_dtype()  # another thread may switch it meanwhile, as it builds a model, say
        output = func(*args, **kwargs)
        if not isinstance(output, torch.Tensor) or output.dtype not in (before, torch.get_default_dtype()):
            return output
        if func in _EXPLICIT:  # a dtype that the caller asked torch for is the default one, too
            asked = func is torch.Tensor.to and "get_default_dtype" in sys._getframe(1).f_code.co_names
            return output.to(self.dtype) if asked else output
        given = (*args, *kwargs.values())
        if kwargs.get("dtype") is not None or any(_says_dtype(value) for value in given):
            return output
        return output.to(self.dtype)


def _says_dtype(value: Any) -> bool:
    """Whether an argument decides the dtype of the output: a float tensor, an array, a dtype."""
    if isinstance(value, list | tuple):
        return any(_says_dtype(item) for item in value if isinstance(item, torch.Tensor))
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() or value.is_complex()
    return isinstance(value, torch.dtype) or hasattr(value, "dtype")


def place(model: torch.nn.Module, device: str, dtype: torch.dtype) -> torch.nn.Module:
    """The model on its device: some classes make a weight by `torch.Tensor(size)`, which asks for no device.

    No mode sees that either: such a weight has the dtype of the process and gets the model's. So does one made by
    `FloatTensor`, as loaded weights do; torch would not multiply it with the others.
    """
    kind = torch.device(device).type
    is_astray = False
    for _, part in list_modules(model):
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is None or tensor.device.type == kind:
                continue
            is_astray = True
            if tensor.dtype == torch.get_default_dtype() and _calls_for_a_tensor(type(part)):
                tensor.data = tensor.data.to(dtype)
    return model.to(device) if is_astray else model


def _calls_for_a_tensor(kind: type) -> bool:
    """Whether a class writes `torch.Tensor(...)` or `FloatTensor` where it is set up, and no dtype."""
    setups = [vars(base).get("__init__") for base in kind.__mro__ if base is not torch.nn.Module]
    codes = [setup.__code__ for setup in setups if isinstance(setup, FunctionType)]
    return any(name in code.co_names for code in codes for name in ("Tensor", "FloatTensor"))


@contextmanager
def building_on(device: str) -> Iterator[None]:
    """One model at a time is built inside; on meta, its dtype is the default of this thread alone."""
    with LIBRARY:
        from transformers import modeling_utils

        original = getattr(modeling_utils, "local_torch_dtype", None)
        if original is None or device != "meta":
            yield
            return
        builder, mode = threading.get_ident(), _DefaultDtype(torch.get_default_dtype())

        @contextmanager
        def local_torch_dtype(dtype: torch.dtype, *args: Any) -> Iterator[None]:
            if threading.get_ident() != builder or not dtype.is_floating_point:
                with original(dtype, *args):
                    yield
                return
            was, mode.dtype = mode.dtype, dtype  # one mode for models inside models, too
            try:
                with mode if not mode.is_on else nullcontext():
                    yield
            finally:
                mode.dtype = was

        try:
            modeling_utils.local_torch_dtype = local_torch_dtype
            yield
        finally:
            modeling_utils.local_torch_dtype = original
