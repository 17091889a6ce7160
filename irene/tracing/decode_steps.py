"""Decode steps at several contexts: three are recorded, the others follow where all numbers go straight between them.

Where they do not (a window is full, sizes are rounded up), every step that is asked for is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irene.model_tree.workload import Workload
from irene.primitives.call import Call
from irene.tracing.call_laws import CallLaw, find_law
from irene.tracing.generate_tracing import TRACED_TOKENS, GenerateTracer, TracedGenerate
from irene.tracing.phases import TracedPhase


@dataclass(frozen=True, slots=True)
class StepAt:
    """A decode step that finds `context_len` tokens in the decoder's cache.

    Steps of one `form` make the same calls, with other sizes: where it `becomes` something, its calls are not those of
    its phase but what they become.
    """

    context_len: int
    phase: TracedPhase
    form: int
    becomes: Mapping[Call, Call] | None = None


class StepTracer:
    """Traces one config at one workload: the `generate` that was asked for, and decode steps at other contexts."""

    def __init__(self, config: Any, workload: Workload, first_context: int) -> None:
        self._tracer = GenerateTracer(config, workload)
        self._tokens = min(TRACED_TOKENS, workload.new_tokens)
        self._forms: dict[tuple[tuple[str, str], ...], int] = {}
        self.whole = self._tracer.trace(first_context, self._tokens, workload.context_len)
        # The third pass finds what two have left.
        is_usual = self._tokens == TRACED_TOKENS and not workload.context_len
        self._own = (first_context + self.whole.image_len + 1, self.whole) if is_usual else None

    def trace_steps(self, contexts: Sequence[int]) -> list[StepAt]:
        """Steps at ascending contexts. Raises Untraceable and its kinds."""
        return self._follow(contexts) or [self.trace_step(context) for context in contexts]

    def trace_step(self, context_len: int) -> StepAt:
        """The step at a context, as all steps but the first find their cache. Raises Untraceable and its kinds."""
        step = self._trace(context_len).step
        return StepAt(context_len, step, self._form_of(step))

    def _follow(self, contexts: Sequence[int]) -> list[StepAt]:
        """Steps that follow from the lowest and the highest, if one between them does; else none."""
        if len(contexts) < 4:
            return []
        low, base = self._own or (contexts[0], self._trace(contexts[0]))
        high, between = contexts[-1], (low + contexts[-1]) // 2
        top = self._trace(high)
        law = (
            find_law(base.ran[-1], low, top.ran[-1], high)
            if self._form_of(base.step) == self._form_of(top.step)
            else None
        )
        if law is None or not law.holds(base.ran[-1], self._glance(between), between):
            return []
        form = self._form_of(base.step)
        found = [self._step_by(law, base, context, form) for context in contexts[:-1]]
        return [] if None in found else [*(step for step in found if step), StepAt(high, top.step, form)]

    def _step_by(self, law: CallLaw, base: TracedGenerate, context_len: int, form: int) -> StepAt | None:
        becomes = law.at(context_len)
        return None if becomes is None else StepAt(context_len, base.step, form, becomes)

    def _form_of(self, step: TracedPhase) -> int:
        calls = tuple([(leaf.path, leaf.call.op) for leaf in step.root.leaves if leaf.call is not None])
        return self._forms.setdefault(calls, len(self._forms))

    def _trace(self, context_len: int) -> TracedGenerate:
        return self._tracer.trace(self._prompt_len(context_len), self._tokens, is_step_alone=True)

    def _glance(self, context_len: int) -> tuple[Call, ...]:
        return self._tracer.glance(self._prompt_len(context_len), self._tokens)[-1]

    def _prompt_len(self, context_len: int) -> int:
        return max(1, context_len - self._tokens + 2 - self.whole.image_len)
