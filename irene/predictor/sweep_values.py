"""The value that a sweep is: energy, time and what limits it at every batch size and length of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from irene.arrays import FloatArray
from irene.model_tree.memory import Memory
from irene.model_tree.workload import Workload
from irene.predictor.phases import GenerationAnswers
from irene.predictor.prediction import PredictorInfo
from irene.showing import Shown

SCHEMA_VERSION = 1

Progress: TypeAlias = Callable[[int], object]
"""Called with how many more points of a sweep are done."""


def no_progress(points: int) -> None:
    """Of a sweep that nobody watches."""


@dataclass(frozen=True, slots=True, eq=False)
class SweepValues:
    """One value for each point, in the order of `Sweep.workloads`: arrays of shape (points,).

    `low_j` to `high_j` is the 90 % interval of `energy_j`, which is the sum of the five parts after `power_w`.
    `power_w` is nan where no time passes.
    """

    energy_j: FloatArray
    low_j: FloatArray
    high_j: FloatArray
    duration_s: FloatArray
    power_w: FloatArray
    compute_j: FloatArray
    memory_j: FloatArray
    static_j: FloatArray
    launch_gap_j: FloatArray
    communication_j: FloatArray
    bound: tuple[str, ...]
    provenance: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Sweep(Shown):
    """A model at many batch sizes and lengths; each point says what `irene.predict` says of it.

    Of generations, `answers` and `memory` have one value a point; `memory_bytes` are the device's.

    Of the points, `traced` were traced; the others follow from them, and `checked` of those were traced as well.
    `notes` say what was assumed.
    """

    model: str
    device: str
    predictor: PredictorInfo
    workloads: tuple[Workload, ...]
    values: SweepValues
    traced: int
    checked: int
    notes: tuple[str, ...] = ()
    answers: tuple[GenerationAnswers, ...] = ()
    memory: tuple[Memory, ...] = ()
    memory_bytes: float = math.inf

    def __len__(self) -> int:
        return len(self.workloads)

    def __repr__(self) -> str:
        return f"<Sweep {self.model}: {len(self)} points on {self.device}, {self.traced} traced>"

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dict for each point."""
        for index, workload in enumerate(self.workloads):
            row: dict[str, Any] = {
                "batch_size": workload.batch_size, "seq_len": workload.seq_len,
                "decoder_seq_len": workload.decoder_seq_len,
            }  # fmt: skip
            row |= self._of_generation(index) if self.answers else {}
            for field in fields(self.values):
                if field.name == "communication_j" and workload.gpus == 1:
                    continue
                value = getattr(self.values, field.name)[index]
                row[field.name] = value if isinstance(value, str) else _plain(value)
            yield row

    def _of_generation(self, index: int) -> dict[str, Any]:
        answers, peak = self.answers[index], self.memory[index].peak
        return {"new_tokens": self.workloads[index].new_tokens, **answers.to_columns()} | {
            "peak_memory_bytes": peak, "fits": peak <= self.memory_bytes,
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The object that `irene sweep --format json` prints; docs/json.md describes it."""
        shared = self.workloads[0]
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "workload": {"task": shared.task, "dtype": shared.dtype, "execution": shared.execution}
            | ({"gpus": shared.gpus} if shared.gpus > 1 else {}),
            "device": self.device,
            "predictor": {f.name: getattr(self.predictor, f.name) for f in fields(self.predictor)},
            "traced": self.traced,
            "checked": self.checked,
            "notes": list(self.notes),
            "points": list(self.rows()),
        }


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
