"""One rank's share of a model: parameters cut to local size, collectives where ranks need each other's results.

What a rank launches under `tp_plan="auto"` is plain local calls, and DTensor only around an embedding and a gathered
head. So the module is cut here by the library's plan, and its forwards make the calls that the library's make: no
process group is opened, no sharding propagated, no DTensor traced, in whatever thread. Tests hold the result against
what the profiler records on real ranks. On a device with data the same forwards run over the group that is open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from irene.errors import BadInput
from irene.tracing.collective_ops import collective_ops
from irene.tracing.parallel_plan import MEGATRON, find_plan

_GATHERS = ("colwise_rep", "colwise_gather_output")
_REDUCES = ("rowwise", "rowwise_rep", "rowwise_split_input")
# Counts and widths of a module whose projections are cut, as modules of transformers call them.
_LOCAL_SIZES = (
    "num_heads", "num_attention_heads", "n_heads", "n_head", "num_key_value_heads", "num_kv_heads", "all_head_size",
    "inner_dim", "split_size", "embed_dim", "hidden_size", "dim",
)  # fmt: skip

Forward = Callable[..., Any]


def shard_model(model: Any, gpus: int, rank: int = 0) -> tuple[str, ...]:
    """Cut a model of transformers in place to what one of `gpus` ranks holds; notes on how. One GPU: as it is.

    Raises BadInput for a model that cannot be divided so.
    """
    if gpus == 1:
        return ()
    model._irene_sharding_notes = notes = _shard(model, gpus, rank)
    return notes


def sharding_notes(model: Any) -> tuple[str, ...]:
    """What `shard_model` noted of a model; nothing of a whole one."""
    return getattr(model, "_irene_sharding_notes", ())


def _shard(model: Any, gpus: int, rank: int) -> tuple[str, ...]:
    plan, is_planned = find_plan(model, gpus)
    modules = dict(model.named_modules())
    notes = () if is_planned else (MEGATRON,)
    cut: dict[tuple[int, int, int], torch.nn.Parameter] = {}
    uneven: set[str] = set()
    for path, style in plan.items():
        if path in modules:
            _install(modules[path], style, gpus, rank, is_planned, model)
            continue
        above, _, name = path.rpartition(".")
        module = modules[above]
        parameter = module._parameters[name]
        assert parameter is not None
        found = _cut_of(module, name, parameter, style)
        if found is None:
            continue
        dim, parts = found
        key = (id(parameter), dim, parts)
        if key not in cut:  # weights that are tied stay tied
            cut[key] = _share(parameter, dim, parts, gpus, rank)
            if parameter.shape[dim] % (parts * gpus):
                uneven.add(above.rpartition(".")[2] or above)
        module._parameters[name] = cut[key]
        if hasattr(module, "nf") and dim == 1:  # GPT-2's own linear layer keeps its width
            module.nf = cut[key].shape[1]
    if not is_planned:
        _make_sizes_local(modules, plan, gpus)
    if uneven:
        notes = (*notes, f"Ranks differ: {', '.join(sorted(uneven))} cannot be cut evenly; the largest share is shown.")
    return notes


def _cut_of(module: torch.nn.Module, name: str, parameter: torch.Tensor, style: str) -> tuple[int, int] | None:
    """(dimension, parts that each are cut) of a parameter; None where every rank keeps the whole."""
    rank, is_embedding = parameter.dim(), isinstance(module, torch.nn.Embedding)
    is_input_first = type(module).__name__ == "Conv1D"  # GPT-2's: (in, out)
    if style in ("colwise", "fused", *_GATHERS):
        dim = 1 if (is_embedding or is_input_first) and rank == 2 else max(rank - 2, 0)
        return dim, 3 if style == "fused" else 1
    if style in (*_REDUCES, "packed_rowwise") and not is_embedding:
        if name == "bias" or rank == 1:
            return None
        return 0 if is_input_first else rank - 1, 2 if style == "packed_rowwise" else 1
    if style == "embedding_rowwise" or (style in _REDUCES and is_embedding):
        return 0, 1
    if style in ("embedding_colwise", "heads"):
        return 1, 1
    if style == "packed_colwise":
        return (rank - 2, 2) if rank > 1 else (0, 1)
    return None


def _share(parameter: torch.Tensor, dim: int, parts: int, gpus: int, rank: int) -> torch.nn.Parameter:
    """A rank's share of a parameter, as `torch.chunk` cuts each of its parts."""
    if parameter.is_meta:
        shape = list(parameter.shape)
        shape[dim] = parts * -(-(shape[dim] // parts) // gpus)
        held = parameter.new_empty(shape)
    else:
        pieces = [part.chunk(gpus, dim)[rank] for part in parameter.detach().chunk(parts, dim)]
        held = torch.cat(pieces, dim).contiguous()
    return torch.nn.Parameter(held, requires_grad=False)


def _make_sizes_local(modules: dict[str, Any], plan: dict[str, str], gpus: int) -> None:
    """Head counts and widths of attention modules whose projections were cut, divided as those are."""
    for path in {path.rpartition(".")[0] for path, style in plan.items() if path in modules and style != "rowwise"}:
        module = modules[path]
        if not any(hasattr(module, name) for name in _LOCAL_SIZES[:6]):
            continue
        for name in _LOCAL_SIZES:
            size = vars(module).get(name)
            if isinstance(size, int) and not isinstance(size, bool) and size % gpus == 0:
                setattr(module, name, size // gpus)


# -- forwards: the calls that a rank makes -------------------------------------------------------------------------


def _install(module: Any, style: str, gpus: int, rank: int, is_planned: bool, model: Any) -> None:
    before: Forward = module.forward
    is_embedding, is_linear = (isinstance(module, kind) for kind in (torch.nn.Embedding, torch.nn.Linear))
    if is_embedding and style != "heads":
        if style in ("embedding_rowwise", *_REDUCES):
            module.forward = _SharedVocabulary(module, gpus, rank)
        else:
            module.forward = lambda ids: _gather(before(ids), gpus, module.embedding_dim)
    elif style in ("colwise", "packed_colwise") and is_planned and is_linear:
        module.forward = partial(_project, module)
    elif style in _GATHERS:
        size = module.out_features
        module.forward = lambda x: _gather(_project(module, x), gpus, size)
    elif style in _REDUCES:
        run = _project if is_planned else _without_bias
        module.forward = partial(_project_and_reduce, module, gpus, rank, style == "rowwise_split_input", run)
    elif style in ("moe_tp_experts", "all_reduce"):
        module.forward = partial(_run_and_reduce, module, before, gpus, style == "all_reduce")
    elif style == "mla_kv_a_proj":
        module.forward = partial(_split_rotary, before, model.config.get_text_config().qk_rope_head_dim)
    elif style == "moe_identity_expert":
        module.forward = lambda x, *rest: before(x / gpus, *rest)


def _project(module: Any, x: torch.Tensor, with_bias: bool = True) -> torch.Tensor:
    """A local product; the library takes the local tensor behind each parameter anew, which is a view."""
    weight = module.weight.view_as(module.weight)
    bias = module.bias.view_as(module.bias) if with_bias and module.bias is not None else None
    return functional.linear(x, weight, bias)


def _without_bias(module: Any, x: torch.Tensor, with_bias: bool = False) -> torch.Tensor:
    if type(module).__name__ != "Conv1D":
        return functional.linear(x, module.weight)
    return torch.mm(x.view(-1, x.size(-1)), module.weight).view(*x.shape[:-1], module.nf)


def _project_and_reduce(module: Any, gpus: int, rank: int, splits: bool, run: Forward, x: torch.Tensor) -> torch.Tensor:
    """The bias comes once, behind the sum over ranks."""
    x = x.chunk(gpus, dim=-1)[rank].clone() if splits else x
    output: torch.Tensor = collective_ops().all_reduce_(run(module, x, with_bias=False), gpus)
    return output if module.bias is None else output + module.bias


def _gather(x: torch.Tensor, gpus: int, size: int) -> torch.Tensor:
    """All ranks' columns side by side: gathered one behind the other, then copied into place."""
    gathered = collective_ops().all_gather(x, gpus)
    whole = torch.cat(gathered.chunk(gpus, dim=0), dim=-1)
    return whole if whole.shape[-1] == size else whole.narrow(-1, 0, size).contiguous()


class _SharedVocabulary:
    """Each rank looks up the ids of its share of the vocabulary, others as 0; the ranks' results are summed."""

    def __init__(self, module: Any, gpus: int, rank: int) -> None:
        self.module, self.gpus = module, gpus
        self.start = rank * -(-module.num_embeddings // gpus)
        self.no_id = torch.zeros((), dtype=torch.int64)
        self.nothing = torch.zeros((), dtype=module.weight.dtype)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        weight = self.module.weight
        is_elsewhere = (ids < self.start) | (ids >= self.start + weight.shape[0])
        own = ids.clone() - self.start
        torch.ops.aten.index_put_(own, [is_elsewhere], self.no_id)  # `own[...] = 0`, which on meta makes a tensor
        found = functional.embedding(own, weight)
        scale = getattr(self.module, "embed_scale", None)  # of Gemma's: for what the ranks have together
        scale = scale.to(weight.dtype) if isinstance(scale, torch.Tensor) else scale
        torch.ops.aten.index_put_(found, [is_elsewhere], self.nothing)
        summed: torch.Tensor = collective_ops().all_reduce_(found.clone(), self.gpus)
        return summed if scale is None else summed * scale


def _run_and_reduce(module: Any, before: Forward, gpus: int, copies: bool, *args: Any, **kwargs: Any) -> Any:
    """Experts: every rank has a share of each, so that outputs are partial sums."""
    output = before(*args, **kwargs)
    if not isinstance(output, torch.Tensor):
        raise BadInput(f"{type(module).__name__}: its plan sums an output that is no tensor.")
    return collective_ops().all_reduce_(output.clone() if copies else output, gpus)


def _split_rotary(before: Forward, width: int, x: torch.Tensor) -> torch.Tensor:
    output = before(x)
    passed, rotated = output.split([output.shape[-1] - width, width], dim=-1)
    return torch.cat([passed, rotated], dim=-1)
