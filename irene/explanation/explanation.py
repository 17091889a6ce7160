"""The value that an explanation is: where the joules go, what limits each part, and what a change would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from irene.model_tree.workload import Workload, describe_workload
from irene.predictor.phases import GenerationAnswers
from irene.showing import Shown
from irene.units import format_quantity

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Portion:
    """One row of an explanation: a node, several equal nodes folded into one, a layer, or a kind of primitive.

    Everything but `each_j` is summed over the `calls` nodes. `breakdown_j` sums to `energy_j`. `flop_per_byte` is the
    arithmetic intensity (`None` where no bytes move), to be held against the ridge of the explanation. `why` says the
    bound in words.
    """

    label: str
    kind: str
    calls: int
    energy_j: float
    each_j: float
    share: float
    duration_s: float
    power_w: float | None
    breakdown_j: dict[str, float]
    flop: float
    traffic_bytes: float
    flop_per_byte: float | None
    bound: str
    why: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The same model with one thing changed, predicted again.

    `aspect` is 'dtype', 'execution', 'batch_size', 'seq_len' or 'attention'; `change` says it in words. `ratio` is the
    changed energy of a call over the present one, `interval_ratio` its 90 % interval with shared errors cancelled;
    `ratio_per_sample` and `ratio_per_token` (`None` without tokens) are the same for one sample and one token.
    `is_significant`: the interval excludes one, per token where batch or length changes.
    """

    aspect: str
    change: str
    workload: Workload
    energy_j: float
    interval_j: tuple[float, float]
    duration_s: float
    ratio: float
    interval_ratio: tuple[float, float]
    ratio_per_sample: float
    ratio_per_token: float | None
    is_significant: bool

    def ratio_for(self, unit: str) -> tuple[float, float, float]:
        """The ratio for a 'token' or a 'sample', and the ends of its 90 % interval. TypeError without tokens."""
        ratio = float(getattr(self, f"ratio_per_{unit}"))
        low, high = (end * ratio / self.ratio for end in self.interval_ratio)
        return ratio, low, high


def unit_of(counterfactuals: Sequence[Counterfactual]) -> str:
    """What changes are judged by: a token where all have tokens, else a sample."""
    return "sample" if any(found.ratio_per_token is None for found in counterfactuals) else "token"


@dataclass(frozen=True, slots=True)
class Explanation(Shown):
    """Why a prediction is what it is.

    `whole` is the model; `nodes` its calls at `depth`, `layers` its parts in call order, `kinds` its primitives by
    kind: each of the three sums to the whole, `nodes` and `kinds` with the most energy first. `generation` are the
    answers of a generation, its phases among them; None of a forward pass. `wait_share` is the share of the time in
    which the GPU waits for the host. `not_asked` says which counterfactuals do not apply, and why;
    `notes` what was assumed.
    """

    model: str
    workload: Workload
    device: str
    predictor: str
    interval_j: tuple[float, float]
    whole: Portion
    wait_share: float
    power_cap_w: float
    ridge_flop_per_byte: float
    depth: int
    nodes: tuple[Portion, ...]
    layers: tuple[Portion, ...]
    kinds: tuple[Portion, ...]
    counterfactuals: tuple[Counterfactual, ...]
    not_asked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    generation: GenerationAnswers | None = None

    def __repr__(self) -> str:
        work, energy = describe_workload(self.workload), format_quantity(self.whole.energy_j, "J")
        return f"<Explanation {self.model} ({work}) on {self.device}: {energy}, {self.whole.bound or 'no bound'}>"

    def to_json(self) -> dict[str, Any]:
        """The object that `irene explain --format json` prints; docs/json.md describes it."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}
