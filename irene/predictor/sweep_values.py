"""The value that a sweep is: energy, time and what limits it at every batch size and length of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.model_tree.tree import Workload
from irene.predictor.prediction import PredictorInfo

if TYPE_CHECKING:
    import pandas

SCHEMA_VERSION = 1
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SweepValues:
    """One value for each point, in the order of `Sweep.workloads`: arrays of shape (points,).

    `low_j` to `high_j` is the 90 % interval of `energy_j`, which is the sum of the four parts after `power_w`.
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
    bound: tuple[str, ...]
    provenance: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """A model at many batch sizes and lengths; each point says what `irene.predict` says of it.

    Of the points, `traced` were traced; the others follow from them, and `checked` of those were traced as well.
    """

    model: str
    device: str
    predictor: PredictorInfo
    workloads: tuple[Workload, ...]
    values: SweepValues
    traced: int
    checked: int

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
            for field in fields(self.values):
                value = getattr(self.values, field.name)[index]
                row[field.name] = value if isinstance(value, str) else _plain(value)
            yield row

    def to_frame(self) -> pandas.DataFrame:
        """One row for each point."""
        import pandas  # here, not above: it costs half a second

        return pandas.DataFrame(list(self.rows()))

    def to_json(self) -> dict[str, Any]:
        """The object that `irene sweep --format json` prints; README describes it."""
        shared = self.workloads[0]
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "workload": {"task": shared.task, "dtype": shared.dtype, "execution": shared.execution},
            "device": self.device,
            "predictor": {f.name: getattr(self.predictor, f.name) for f in fields(self.predictor)},
            "traced": self.traced,
            "checked": self.checked,
            "points": list(self.rows()),
        }


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
