"""Generations of one model at one batch size, of many prompts and numbers of tokens, from few recordings.

The shortest prompt and the longest context are recorded, and one between them, drawn at random, has to be what follows:
then every prefill and every step follows. Where it is not, each generation is traced by itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irene.errors import IreneError
from irene.model_tree.memory import Memory
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.passes.counted import Pass
from irene.passes.generation import (
    CONTEXTS,
    DecodeStep,
    Generation,
    choose_contexts,
    prepare_generation,
    trace_generation,
)

if TYPE_CHECKING:
    from irene.tracing.call_laws import CallLaw
    from irene.tracing.generate_tracing import TracedGenerate


def trace_generations(config: Any, workloads: Sequence[Workload], name: str) -> tuple[list[Generation], int]:
    """The passes of each workload, and how many recordings it took; they differ in batch size, prompt and tokens alone.

    Raises BadInput and its kinds.
    """
    found: dict[Workload, Generation] = {}
    traced = 0
    for batch_size in dict.fromkeys(workload.batch_size for workload in workloads):
        own = [workload for workload in workloads if workload.batch_size == batch_size]
        followed = _follow(config, own, name)
        traced += 3 * bool(followed)
        for workload in own:
            if workload not in followed:
                traced += 1
                followed[workload] = trace_generation(config, workload, name)
        found |= followed
    return [found[workload] for workload in workloads], traced


def _follow(config: Any, workloads: Sequence[Workload], name: str) -> dict[Workload, Generation]:
    """The generations that follow from three recordings: none where a number does not go straight with the length."""
    from irene.tracing.call_laws import find_law  # torch
    from irene.tracing.generate_tracing import TRACED_TOKENS, GenerateTracer

    chosen = [w for w in workloads if w.new_tokens != TRACED_TOKENS - 1]  # whose one step is not as later ones
    is_plain = not workloads[0].images and not getattr(config, "is_encoder_decoder", False)
    if len(chosen) < 2 or not is_plain or workloads[0].cache != "dynamic":
        return {}
    prepared = {workload: prepare_generation(config, workload) for workload in chosen}
    low = min(ready.prompt_len for ready in prepared.values())
    high = max(ready.prompt_len + max(workload.new_tokens - 3, 0) for workload, ready in prepared.items())
    if high - low < 2:
        return {}
    between = random.Random(0).randint(low + 1, high - 1)
    first = next(iter(prepared.values()))
    tracer = GenerateTracer(config, first.workload)
    try:
        base, top = (tracer.trace(prompt_len) for prompt_len in (low, high))
        glance = tracer.glance(between)
    except IreneError:
        return {}  # what is wrong is said of the generation that it is of
    laws = [find_law(a, low, b, high) for a, b in zip(base.ran, top.ran, strict=True)]
    prefill, step = laws[0], laws[-1]
    if prefill is None or step is None or base.image_len:
        return {}
    if not (prefill.holds(base.ran[0], glance[0], between) and step.holds(base.ran[-1], glance[-1], between)):
        return {}
    opening, steps = (first.tree_of(phase.root, base, name) for phase in (base.phases[0], base.phases[-1]))
    family = _Family(base, top, opening, steps, prefill, step)
    made = {workload: family.generation(ready.workload) for workload, ready in prepared.items()}
    return {workload: generation for workload, generation in made.items() if generation is not None}


class _Family:
    """What two recordings say of every length between them."""

    def __init__(
        self, base: TracedGenerate, top: TracedGenerate, opening: ModelTree, step: ModelTree, of_prefill: CallLaw,
        of_step: CallLaw,
    ) -> None:  # fmt: skip
        self._base, self._top, self._opening, self._step = base, top, opening, step
        self._of_prefill, self._of_step = of_prefill, of_step
        self._trees: dict[Workload, tuple[ModelTree, ModelTree]] = {}

    def generation(self, workload: Workload) -> Generation | None:
        prompt_len = workload.seq_len or 1
        prefill = self._of_prefill.at(prompt_len)
        contexts: list[int] = []
        if workload.new_tokens > 1:
            last = prompt_len + workload.new_tokens - 2
            contexts = choose_contexts(prompt_len, last, CONTEXTS[workload.execution])
        # A recording after n tokens shows the step that finds n + 1.
        becomes = [self._of_step.at(context - 1) for context in contexts]
        if prefill is None or None in becomes:
            return None
        steps = tuple(DecodeStep(c, self._step, 0, b) for c, b in zip(contexts, becomes, strict=True))
        opening = Pass(replace(self._opening, workload=workload), 1, "prefill", prefill)
        return Generation((opening,), steps, prompt_len, self._memory_of(prompt_len, contexts))

    def _memory_of(self, prompt_len: int, contexts: Sequence[int]) -> Memory:
        """What the prefill needs, or the longest step, by straight lines through what was recorded."""
        alive_bytes = self._between("peak_bytes", 0, prompt_len)
        cache_bytes = 0
        if contexts:
            cache_bytes = self._between("before_bytes", -1, contexts[-1] - 1)
            alive_bytes = max(alive_bytes, self._between("peak_bytes", -1, contexts[-1] - 1))
        share = (prompt_len - self._of_step.low) / (self._of_step.high - self._of_step.low)
        input_bytes = round((1 - share) * self._base.input_bytes + share * self._top.input_bytes)
        return Memory(self._base.weight_bytes, cache_bytes, input_bytes + alive_bytes - cache_bytes)

    def _between(self, name: str, phase: int, prompt_len: int) -> int:
        share = (prompt_len - self._of_step.low) / (self._of_step.high - self._of_step.low)
        low, high = (int(getattr(traced.phases[phase], name)) for traced in (self._base, self._top))
        return max(0, round((1 - share) * low + share * high))
