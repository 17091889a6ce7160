"""Any torch.nn.Module with example inputs -> its tree: a stand-in without data is called; the module is not touched."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing.given_inputs import as_arguments, assume_values, batch_of
from irene.tracing.random_paths import record_with_chance
from irene.tracing.recording import Prepared, Recording, record_afresh
from irene.tracing.stand_ins import StandIns


def trace_module(
    module: torch.nn.Module, example_inputs: Any, workload: Workload
) -> tuple[Recording, Workload, tuple[str, ...]]:
    """The recording of one call in eval mode, its workload as the inputs say, and notes; the module is left as it was.

    Weights count as unknown. The inputs and buffers are known, so that a question about a mask can be answered.
    """
    args, kwargs = as_arguments(example_inputs)
    _require_no_circle(module)
    _require_initialised(module)
    for value in tree_leaves((args, kwargs)):
        _require_dense("example_inputs", value)
    assumed: tuple[str, ...] = ()
    given: list[torch.Tensor] = []

    def prepare() -> Prepared:
        made = StandIns()
        meta_args, meta_kwargs = made.of(args), made.of(kwargs)
        nonlocal assumed
        assumed = assume_values(module, meta_args, meta_kwargs)
        given[:] = made.tensors
        stand_in = made.of(module)
        with suppress(NotImplementedError):  # an exported program knows no modes
            stand_in.eval()
        return Prepared(stand_in, meta_args, meta_kwargs, [made.of(tensor) for tensor in made.tensors])

    found = record_with_chance(lambda: record_afresh(prepare))
    batch_size = batch_of((*args, *kwargs.values()), given)
    workload = replace(workload, batch_size=batch_size, seq_len=None, decoder_seq_len=None)
    return found, workload, (*assumed, *found.notes)


def _require_no_circle(module: torch.nn.Module) -> None:
    """Raise BadInput for a module that holds itself: nothing that walks down its parts would end."""
    waiting: list[tuple[str, torch.nn.Module, tuple[int, ...]]] = [("", module, ())]
    done: set[int] = set()
    while waiting:
        path, part, above = waiting.pop()
        if id(part) in above:
            raise BadInput(f"Module {path!r} holds itself, at some depth: no tree of calls has such a circle.")
        if id(part) not in done:
            done.add(id(part))
            below = (*above, id(part))
            waiting += [(f"{path}.{name}".lstrip("."), child, below) for name, child in part.named_children()]


def _require_dense(name: str, value: Any) -> None:
    if isinstance(value, torch.Tensor) and value.layout not in (torch.strided, torch.jagged):
        raise BadInput(f"{name}: the layout {value.layout} is not modelled; give a dense tensor (.to_dense()).")


def _require_initialised(module: torch.nn.Module) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        _require_dense(name, tensor)
        if torch.nn.parameter.is_lazy(tensor):
            raise BadInput(
                f"{name} of this module is lazy (uninitialised): call it once with real inputs, then trace it."
            )
