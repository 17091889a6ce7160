"""The real greedy `generate` of a model, recorded and cut where it asks whether to go on.

A bare step is no step of `generate`, which switches mixtures of experts to batched products while decoding, and between
two steps casts the scores, takes the largest, and waits for the answer. So the whole is recorded for three tokens, and
cut behind the last value that is read back between two passes. Of equal layers only a few are run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irene.errors import IreneError
from irene.model_tree.workload import Workload
from irene.primitives.call import Call
from irene.tracing.building import build_model
from irene.tracing.expanding import expand
from irene.tracing.generation import Generation, generate_inputs
from irene.tracing.inputs import torch_dtype
from irene.tracing.known_values import BALANCED
from irene.tracing.module_state import ModuleState
from irene.tracing.phases import TracedPhase, cut_at_stops, list_calls
from irene.tracing.recording import Prepared, Recording, record_afresh, record_with_notes
from irene.tracing.repeats import Repeats
from irene.tracing.sharding import sharding_notes
from irene.tracing.towers import towers_left_out
from irene.tracing.twins import Twins, find_twins

TRACED_TOKENS = 3
"""Prefill, then a step that may still find the cache as the prefill left it, then one as all later ones."""


@dataclass(frozen=True, slots=True)
class TracedGenerate:
    """The phases of one recorded `generate`, in order; the last is a decode step as all later ones.

    `image_len` tokens stand for images in its prompt; `left_out` names towers that no input reached. `ran` are
    the calls of each phase that were run, in order: all of them, or those of a few layers.
    """

    phases: tuple[TracedPhase, ...]
    notes: tuple[str, ...]
    image_len: int
    left_out: str
    weight_bytes: int
    input_bytes: int
    ran: tuple[tuple[Call, ...], ...] = ()

    @property
    def step(self) -> TracedPhase:
        return self.phases[-1]


def trace_generate(
    config: Any, workload: Workload, prompt_len: int, tokens: int = TRACED_TOKENS, context_len: int = 0
) -> TracedGenerate:
    """Record a `generate` of a few tokens after `prompt_len` tokens, `context_len` of which are in the cache already.

    Those are the decoder's; for encoder-decoders `workload.seq_len` tokens enter the encoder. Raises Untraceable (and
    its kinds), also where fewer passes are made than tokens asked for.
    """
    return GenerateTracer(config, workload, skips_layers=False).trace(prompt_len, tokens, context_len)


class GenerateTracer:
    """Records `generate` of one config at many lengths.

    Where it `skips_layers`, the model is built once, and of equal layers three and the last are run: what the others do
    follows (`irene.tracing.expanding`), unless one of those did something else; then all are run.
    """

    def __init__(self, config: Any, workload: Workload, skips_layers: bool = True) -> None:
        self._config, self._workload, self._skips = config, workload, skips_layers
        self._kept: tuple[Generation, Twins, ModuleState] | None = None

    def trace(
        self, prompt_len: int, tokens: int = TRACED_TOKENS, context_len: int = 0, is_step_alone: bool = False
    ) -> TracedGenerate:
        """As `trace_generate`; of phases, only the last where the `step` is asked for alone."""
        short, whole, wrapper, inputs = self._record(prompt_len, tokens, context_len)
        is_two_part = bool(getattr(self._config, "is_encoder_decoder", False))
        has_pixels = "pixel_values" in inputs and not is_two_part
        image_len = int(inputs["input_ids"].shape[1]) - prompt_len if has_pixels else 0
        # The largest scores over a vocabulary are looked for as a router does it; only experts make it an assumption.
        routes = any(leaf.call is not None and leaf.call.name == "topk" for leaf in short.root.leaves)
        model = wrapper.model
        notes = (*sharding_notes(model), *(note for note in short.notes if routes or note != BALANCED))
        paths = {node.path.removeprefix("model.") for node in short.root.walk()}
        left_out = towers_left_out(model, paths)
        phases = tuple(cut_at_stops(whole.root, whole.alive_bytes, tokens, context_len > 0, is_step_alone))
        ran = tuple(list_calls(cut_at_stops(short.root, short.alive_bytes, tokens, context_len > 0, is_step_alone)))
        return TracedGenerate(phases, notes, image_len, left_out, whole.weight_bytes, whole.input_bytes, ran)

    def glance(self, prompt_len: int, tokens: int = TRACED_TOKENS) -> list[tuple[Call, ...]]:
        """The calls of each phase that are run, without those of layers that repeat."""
        short = self._record(prompt_len, tokens, 0, is_glance=True)[0]
        return list_calls(cut_at_stops(short.root, short.alive_bytes, tokens, False))

    def _record(
        self, prompt_len: int, tokens: int, context_len: int, is_glance: bool = False
    ) -> tuple[Recording, Recording, Generation, Mapping[str, Any]]:
        """A recording as it was made, and as if every layer had been run."""
        found = self._record_some(prompt_len, tokens, context_len, is_glance) if self._skips else None
        if found is not None:
            return found
        self._skips = False
        made: list[Prepared] = []

        def prepare() -> Prepared:
            model = self._build()
            wrapper = Generation(model, tokens, self._workload.static_len, context_len)
            made[:] = [Prepared(wrapper, (), generate_inputs(model, self._workload, prompt_len))]
            return made[0]

        whole = record_afresh(prepare, needs_constants=True)
        return whole, whole, made[0].module, made[0].kwargs  # type: ignore[return-value]

    def _build(self) -> Any:
        work = self._workload
        return build_model(self._config, work.task, torch_dtype(work.dtype), "meta", work.gpus)

    def _record_some(
        self, prompt_len: int, tokens: int, context_len: int, is_glance: bool
    ) -> tuple[Recording, Recording, Generation, Mapping[str, Any]] | None:
        """As `_record`, by few layers; None where that cannot be done."""
        if self._kept is None:
            wrapper = Generation(self._build(), tokens, self._workload.static_len, context_len)
            self._kept = wrapper, find_twins(wrapper), ModuleState(wrapper, wrapper.model.config)
        wrapper, twins, state = self._kept
        repeats = Repeats(twins, run_first=3)
        wrapper.new_tokens, wrapper.context_len = tokens, context_len
        inputs = generate_inputs(wrapper.model, self._workload, prompt_len)
        hooks = [wrapper.model.register_forward_pre_hook(repeats.begin_pass)]
        hooks.append(wrapper.model.register_forward_hook(repeats.begin_pass))
        try:
            short = record_with_notes(wrapper, (), inputs, repeats, constants=True)
        except IreneError:
            return None
        finally:
            for hook in hooks:
                hook.remove()
            state.restore()
        whole = short if is_glance else expand(short, repeats)
        return None if whole is None else (short, whole, wrapper, inputs)
