"""A generation as passes: what it opens with, each once, and decode steps at a few contexts that stand for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput
from irene.model_tree.memory import Memory
from irene.model_tree.quantization import text_alone
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.passes.counted import Pass
from irene.primitives.call import Call

if TYPE_CHECKING:
    from irene.tracing.decode_steps import StepAt, StepTracer
    from irene.tracing.generate_tracing import TracedGenerate

IDEAL_STEPS = (
    "Captured decode steps over a cache that grows are a sum of steps of fixed length each: an ideal that nobody "
    "replays; with a static cache one capture serves all."
)

# In eager mode a step's time has a kink where the GPU becomes slower than the host.
CONTEXTS = {"eager": 5, "cuda_graph": 3}
# Where steps change their calls (a window is full) is looked for this closely, as a share of all steps.
_FINEST_SHARE = 64


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """A decode step that finds `context_len` tokens in the cache; steps of one `form` differ in sizes alone.

    Where it `becomes` something, it makes the calls that those of its tree become.
    """

    context_len: int
    tree: ModelTree
    form: int
    becomes: Mapping[Call, Call] | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """The passes of one greedy generation: the opening, then a step for each new token but the first.

    `opening` are an encoder's pass and the prefill. The first step finds `first_context` tokens in the cache. `steps`
    are those that were traced, by context; none where only one token is asked for.
    """

    opening: tuple[Pass, ...]
    steps: tuple[DecodeStep, ...]
    first_context: int
    memory: Memory

    @property
    def workload(self) -> Workload:
        return self.opening[0].tree.workload

    @property
    def step_count(self) -> int:
        return self.workload.new_tokens - 1


def choose_contexts(first: int, last: int, count: int) -> list[int]:
    """At most `count` contexts, evenly spaced, both ends among them.

    >>> choose_contexts(10, 1010, 3), choose_contexts(7, 8, 5)
    ([10, 510, 1010], [7, 8])
    """
    if last - first < count:
        return list(range(first, last + 1))
    return [first + round(i * (last - first) / (count - 1)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A workload made whole for a config: with a task that generates, and `prompt_len` tokens before the first new one.

    The decoder's: what enters an encoder is no part of them.
    """

    config: Any
    workload: Workload
    prompt_len: int

    def tree_of(self, root: Node, whole: TracedGenerate, name: str) -> ModelTree:
        """A phase as a tree, with what was assumed of the whole."""
        from irene.tracing.attention import position_bias_notes
        from irene.tracing.named_attention import attention_notes
        from irene.tracing.precision import notes_of_surroundings
        from irene.tracing.tracer import trace_versions, with_quantization

        notes = (*whole.notes, *attention_notes(self.config), *position_bias_notes(self.config, root.leaves))
        notes = (*notes, *notes_of_surroundings())
        left_out = whole.left_out
        if left_out and self.workload.images == 0:
            notes, left_out = (*notes, text_alone(left_out)), ""
        if self.workload.execution == "cuda_graph" and self.workload.cache == "dynamic":
            notes = (*notes, IDEAL_STEPS)
        tree = ModelTree(root, name, self.workload, trace_versions(), notes, left_out=left_out)
        return with_quantization(tree, self.config)


def prepare_generation(config: Any, workload: Workload) -> Prepared:
    """Raises BadInput where the model generates no tokens, or has no positions for so many."""
    from irene.tracing.generation import generation_task, plain_tokens  # torch
    from irene.tracing.inputs import check_positions
    from irene.tracing.tracer import with_length

    task = generation_task(config)
    workload = with_length(config, workload)
    if workload.task == "base":
        workload = replace(workload, task=task)
    is_two_part = bool(getattr(config, "is_encoder_decoder", False))
    if is_two_part and (workload.context_len or workload.cache != "dynamic"):
        raise BadInput(
            "A generation of an encoder-decoder begins with its start token and a cache that grows: leave context_len "
            "and cache alone."
        )
    prompt_len = 1 if is_two_part else workload.context_len + (workload.seq_len or 1)
    check_positions(config, workload if is_two_part else plain_tokens(workload, prompt_len + workload.new_tokens - 1))
    return Prepared(config, workload, prompt_len)


def trace_generation(config: Any, workload: Workload, name: str) -> Generation:
    """Trace the phases of a generation of a transformers config. Raises BadInput and its kinds.

    The real `generate` is recorded: fewer passes than tokens asked for are an error.
    """
    from irene.tracing.decode_steps import StepTracer  # torch

    prepared = prepare_generation(config, workload)
    workload = prepared.workload
    tracer = StepTracer(config, workload, prepared.prompt_len)
    whole = tracer.whole
    first = prepared.prompt_len + whole.image_len
    opening = tuple(Pass(prepared.tree_of(p.root, whole, name), 1, p.name) for p in whole.phases if p.name != "decode")
    found = _trace_steps(tracer, first, workload)
    trees = {id(step.phase): prepared.tree_of(step.phase.root, whole, name) for step in found}
    steps = tuple(DecodeStep(step.context_len, trees[id(step.phase)], step.form, step.becomes) for step in found)
    return Generation(opening, steps, first, _memory_of(whole, found))


def _memory_of(whole: TracedGenerate, steps: Sequence[StepAt]) -> Memory:
    """What a generation needs: its longest step may hold the most, or its prefill."""
    opening = [phase for phase in whole.phases if phase.name != "decode"]
    alive_bytes = max(phase.peak_bytes for phase in (*opening, *(step.phase for step in steps)))
    cache_bytes = steps[-1].phase.before_bytes if steps else 0
    return Memory(whole.weight_bytes, cache_bytes, whole.input_bytes + alive_bytes - cache_bytes)


def _trace_steps(tracer: StepTracer, first: int, workload: Workload) -> list[StepAt]:
    """Steps at a few contexts, and where neighbours differ in their calls, more between them."""
    count = workload.new_tokens - 1
    if not count:
        return []
    found = tracer.trace_steps(choose_contexts(first, first + count - 1, CONTEXTS[workload.execution]))
    finest = max(1, count // _FINEST_SHARE)
    while gap := next(_changes(found, finest), None):
        found.insert(gap, tracer.trace_step((found[gap - 1].context_len + found[gap].context_len) // 2))
    return found


def _changes(steps: list[StepAt], finest: int) -> Iterator[int]:
    for at in range(1, len(steps)):
        if steps[at - 1].form != steps[at].form and steps[at].context_len - steps[at - 1].context_len > finest:
            yield at
