"""A prediction in words: its workload, what the parts of its account mean, grams and money; the same in all outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.reporting.footprint import Facility, footprint_of
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.phases import GenerationAnswers
    from irene.predictor.prediction import Prediction

PARTS = {
    "compute": "Arithmetic: the energy above idle while the GPU calculates, mostly matrix products.",
    "memory": "Data movement: the energy above idle while the GPU reads and writes its memory.",
    "static": "What the board draws doing nothing, for as long as its kernels run.",
    "launch_gap": "What the board draws while it waits for the host (Python) to launch the next kernel.",
    "communication": "Exchange between GPUs: the energy above idle while they send each other results.",
}
"""The joule account: every joule is in exactly one part."""

BOUNDS = {
    "compute_bound": "Arithmetic decides: a faster calculator would help, more bandwidth would not.",
    "memory_bound": "Reading and writing memory decides: smaller or fewer bytes would help.",
    "power_bound": "The power cap decides: the board runs near its limit, with lowered clocks.",
    "host_bound": "The host decides: the GPU waits for Python to launch its next kernel.",
    "communication_bound": "The link between the GPUs decides: exchanging results takes most.",
}

PROVENANCES = {
    "measured": "this very call was measured",
    "interpolated": "between measured sizes",
    "extrapolated": "outside the measured sizes",
    "transferred": "measured for another dtype or setting",
    "fallback": "never measured: priced by the bytes it touches",
}

KINDS: dict[str, str] = {
    "gemm": "matrix products", "grouped_gemm": "expert matrix products", "attention": "attention",
    "convolution": "convolutions", "norm": "normalisation", "softmax": "softmax", "activation": "activation functions",
    "elementwise": "elementwise arithmetic", "reduction": "sums and means", "embedding": "embedding lookups",
    "copy": "copies and casts", "fill": "filling tensors", "sort": "sorting", "random": "random numbers",
    "view": "views (host time only)", "other": "other operations", "unknown": "unknown operations",
    "collective": "exchanges between GPUs",
}  # fmt: skip
"""The kinds of primitives (`irene.primitives.kinds`) in plain words."""

PER_CALLS = 1_000_000
"""Grams and money of one call are too small to read; so many calls are shown."""


def name_of_call(prediction: Prediction) -> str:
    """What one call of this workload is."""
    return "generation" if prediction.tree.workload.new_tokens else "forward pass"


def energy_per_sample_j(prediction: Prediction) -> float:
    """Joules a call over its batch size."""
    return prediction.energy_j / prediction.tree.workload.batch_size


def energy_per_token_j(prediction: Prediction) -> float | None:
    """Per new token of a generation, else per input position (of both inputs, where a decoder has its own).

    `None` where the input has no tokens.
    """
    work = prediction.tree.workload
    tokens = work.new_tokens or (work.seq_len or 0) + (work.decoder_seq_len or 0)
    return prediction.energy_j / (work.batch_size * tokens) if tokens else None


def describe_interval(low: float, high: float, unit: str = "J") -> str:
    """Both ends, each in the prefix that suits it."""
    return f"{format_quantity(low, unit)} to {format_quantity(high, unit)}"


def describe_generation(answers: GenerationAnswers) -> list[str]:
    """Joules of a token, when the first one and the others come, and the phases, a line each, with their intervals."""
    first = describe_interval(*answers.time_to_first_token_interval_s, "s")
    lines = [
        f"a token    {format_quantity(answers.energy_per_output_token_j, 'J')}   90 % interval "
        + describe_interval(*answers.energy_per_output_token_interval_j),
        f"first      after {format_quantity(answers.time_to_first_token_s, 's')} ({first})",
    ]
    step_s, interval_s = answers.time_per_output_token_s, answers.time_per_output_token_interval_s
    if step_s is not None and interval_s is not None:
        lines.append(f"then       a token each {format_quantity(step_s, 's')} ({describe_interval(*interval_s, 's')})")
    for phase in answers.phases:
        times = f"x {phase.calls}" if phase.calls > 1 else ""
        lines.append(
            f"{phase.name:<10} {format_quantity(phase.energy_j, 'J')} ({describe_interval(*phase.interval_j)}) "
            f"in {format_quantity(phase.duration_s, 's')} {times}".rstrip()
        )
    return lines


def describe_footprint(energy_j: float, facility: Facility) -> list[tuple[str, str]]:
    """(what, how much) of `PER_CALLS` calls of `energy_j` each, for what the facility knows."""
    many = footprint_of(PER_CALLS * energy_j, facility)
    lines = [("energy", f"{many.site_energy_j / 3.6e6:.3g} kWh")]
    lines += [] if many.carbon_g is None else [("carbon", format_quantity(many.carbon_g, "gCO2e"))]
    lines += [] if many.cost is None else [("cost", f"{many.cost:.3g}")]
    return lines


def describe_facility(facility: Facility) -> str:
    """What the grams and the money assume."""
    words = []
    if facility.carbon_intensity_g_per_kwh is not None:
        words.append(f"{facility.carbon_intensity_g_per_kwh:g} gCO2e/kWh ({facility.carbon_source})")
    if facility.price_per_kwh is not None:
        words.append(f"{facility.price_per_kwh:g} per kWh, in the currency in which the price was given")
    whole = "GPU board alone, no cooling or power supply" if facility.pue == 1 else "board energy times PUE"
    return "; ".join([*words, f"PUE {facility.pue:g} ({whole})"])
