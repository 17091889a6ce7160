"""What a generation is asked for: joules and seconds of its phases, of one token, and until the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from irene.model_tree.graph import FlatTree
from irene.model_tree.workload import Workload
from irene.predictor.node_values import NodeValues
from irene.predictor.time_intervals import time_interval_s
from irene.showing import Shown
from irene.units import format_quantity

GENERATE = "generate"
"""The type of the root of a generation's tree; its children are the phases."""
DECODE = "decode"


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a generation, all its runs together: 'encode', 'prefill' or 'decode'."""

    name: str
    calls: int
    energy_j: float
    interval_j: tuple[float, float]
    duration_s: float
    interval_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class GenerationAnswers(Shown):
    """The answers of a generation of `output_tokens` in all, the same number of each sample of the batch.

    `time_to_first_token_s` is of what comes before the first token; `time_per_output_token_s` is the mean of the steps
    after it, None where there are none. An encoder's energy counts as prefill. Each has its 90 % interval.
    """

    phases: tuple[Phase, ...]
    output_tokens: int
    prefill_energy_j: float
    decode_energy_j: float
    energy_per_output_token_j: float
    energy_per_output_token_interval_j: tuple[float, float]
    time_to_first_token_s: float
    time_per_output_token_s: float | None
    prefill_energy_interval_j: tuple[float, float]
    decode_energy_interval_j: tuple[float, float]
    time_to_first_token_interval_s: tuple[float, float]
    time_per_output_token_interval_s: tuple[float, float] | None

    def to_columns(self) -> dict[str, float | None]:
        """The answers as flat columns; before its unit, the name of an interval's end says which one it is."""
        columns: dict[str, float | None] = {}
        for stem, unit in _COLUMNS:
            low, high = getattr(self, f"{stem}_interval_{unit}") or (None, None)
            ends = {f"{stem}_low_{unit}": low, f"{stem}_high_{unit}": high}
            columns |= {f"{stem}_{unit}": getattr(self, f"{stem}_{unit}"), **ends}
        return columns

    def __repr__(self) -> str:
        phases = ", ".join(f"{phase.name} {format_quantity(phase.energy_j, 'J')}" for phase in self.phases)
        token = format_quantity(self.energy_per_output_token_j, "J")
        return f"<GenerationAnswers {self.output_tokens} tokens, {token} each: {phases}>"


_COLUMNS = (
    ("prefill_energy", "j"), ("decode_energy", "j"), ("energy_per_output_token", "j"), ("time_to_first_token", "s"),
    ("time_per_output_token", "s"),
)  # fmt: skip


def answer_generation(flat: FlatTree, values: NodeValues, workload: Workload) -> GenerationAnswers | None:
    """The answers, or None of what is no generation."""
    if flat.nodes[0].type != GENERATE or not workload.new_tokens:
        return None
    phases: dict[str, Phase] = {}
    for at in range(1, len(flat)):
        if flat.parent[at] == 0:
            node = flat.nodes[at]
            low, high, energy_j = (float(v[at]) for v in (values.low_j, values.high_j, values.energy_j))
            duration_s = float(values.duration_s[at])
            interval_s = time_interval_s(duration_s, energy_j, (low, high), workload.execution)
            found = Phase(node.path, node.count, energy_j, (low, high), duration_s, interval_s)
            phases[node.path] = _together(phases[node.path], found) if node.path in phases else found
    decode = phases.get(DECODE)
    before = [phase for phase in phases.values() if phase is not decode]
    tokens = workload.batch_size * workload.new_tokens
    whole, low, high = (float(v[0]) / tokens for v in (values.energy_j, values.low_j, values.high_j))
    return GenerationAnswers(
        phases=tuple(phases.values()),
        output_tokens=tokens,
        prefill_energy_j=sum(phase.energy_j for phase in before),
        decode_energy_j=decode.energy_j if decode else 0.0,
        energy_per_output_token_j=whole,
        energy_per_output_token_interval_j=(low, high),
        time_to_first_token_s=sum(phase.duration_s for phase in before),
        time_per_output_token_s=decode.duration_s / decode.calls if decode else None,
        prefill_energy_interval_j=_ends([phase.interval_j for phase in before]),
        decode_energy_interval_j=_ends([decode.interval_j] if decode else []),
        time_to_first_token_interval_s=_ends([phase.interval_s for phase in before]),
        time_per_output_token_interval_s=_ends([decode.interval_s], decode.calls) if decode else None,
    )


def _ends(intervals: Sequence[tuple[float, float]], parts: int = 1) -> tuple[float, float]:
    """Sums of both ends, as if errors went together, of one of so many parts."""
    return sum(low for low, _ in intervals) / parts, sum(high for _, high in intervals) / parts


def _together(one: Phase, other: Phase) -> Phase:
    energy_j, duration_s = one.energy_j + other.energy_j, one.duration_s + other.duration_s
    interval_j, interval_s = _ends([one.interval_j, other.interval_j]), _ends([one.interval_s, other.interval_s])
    return Phase(one.name, one.calls + other.calls, energy_j, interval_j, duration_s, interval_s)
