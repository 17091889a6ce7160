"""Generations of one model at many batch sizes, prompts and numbers of tokens -> a Sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from irene.account import PARTS
from irene.model_tree.graph import flatten
from irene.model_tree.quantization import require_dense, require_towers, with_note
from irene.model_tree.workload import Workload
from irene.passes.many_generations import trace_generations
from irene.predictor.generations import PricedGeneration, price_generations
from irene.predictor.node_values import NodeValues, sum_ranks
from irene.predictor.phases import GenerationAnswers, answer_generation
from irene.predictor.predictor import Predictor
from irene.predictor.sweep_values import Progress, Sweep, SweepValues, no_progress

_POINTS_AT_ONCE = 64  # whose passes are held in memory


def sweep_generations(
    fitted: Predictor, model: Any, workloads: Sequence[Workload], *, dequantized: bool, progress: Progress = no_progress
) -> Sweep:
    """Each point is what `irene.predict` says of it. Raises BadInput and its kinds."""
    from irene.tracing.tracer import dense_twin, find_config  # torch

    twin = ""
    if dequantized:
        model, twin = dense_twin(model, workloads[0].dtype)
    named = find_config(model)
    generations, traced = trace_generations(named.config, workloads, named.name)
    shown = with_note(generations[0].opening[0].tree, twin)
    require_dense(shown.model, shown.quantization)
    require_towers(shown.model, shown.left_out)
    priced: list[PricedGeneration] = []
    for start in range(0, len(generations), _POINTS_AT_ONCE):
        some = price_generations(fitted, generations[start : start + _POINTS_AT_ONCE])
        priced += some
        progress(len(some))
    values = [sum_ranks(each.values, workloads[0].gpus) for each in priced]
    return Sweep(
        shown.model, fitted.spec.name, fitted.info, tuple(generation.workload for generation in generations),
        _roots_of(values), traced, 0, shown.notes,
        answers=tuple(_answer(each, own) for each, own in zip(priced, values, strict=True)),
        memory=tuple(generation.memory for generation in generations), memory_bytes=fitted.spec.memory_bytes,
    )  # fmt: skip


def _answer(priced: PricedGeneration, values: NodeValues) -> GenerationAnswers:
    found = answer_generation(flatten(priced.tree), values, priced.tree.workload)
    assert found is not None
    return found


def _roots_of(values: Sequence[NodeValues]) -> SweepValues:
    names = ("energy_j", "low_j", "high_j", "duration_s", *(f"{part}_j" for part in PARTS))
    roots = {name: np.array([float(getattr(own, name)[0]) for own in values]) for name in names}
    return SweepValues(
        **roots, power_w=roots["energy_j"] / roots["duration_s"], bound=tuple(own.bound[0] for own in values),
        provenance=tuple(own.provenance[0] for own in values),
    )  # fmt: skip
