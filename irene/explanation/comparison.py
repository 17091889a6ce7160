"""The value that a comparison is: totals side by side, every pair's difference, and what each layer has in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from irene.errors import UnknownName
from irene.model_tree.workload import Workload
from irene.predictor.phases import GenerationAnswers
from irene.showing import Shown
from irene.units import format_quantity

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the predictions that are compared: the whole model.

    `interval_j` is the 90 % interval; `power_w` is `None` where no time passes, `energy_per_token_j` where the input
    has no tokens (images, sound). A token is one that a generation writes, else one position of the input (of both
    inputs, where a decoder has its own). `generation` are a generation's answers, its phases among them.
    """

    name: str
    model: str
    architecture: str
    workload: Workload
    device: str
    predictor: str
    energy_j: float
    interval_j: tuple[float, float]
    duration_s: float
    power_w: float | None
    breakdown_j: dict[str, float]
    energy_per_sample_j: float
    energy_per_token_j: float | None
    bound: str
    provenance: str
    generation: GenerationAnswers | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one layer, or one role, has in the difference of two predictions.

    `base_j` and `other_j` are its energies, `None` where one side has no such part. `difference_j` is other - base;
    contributions of one list sum to the whole difference. `aligned_by` is 'path' (both sides have the same path),
    'position' (the n-th layer of each), 'role', or 'alone' (only one side has it).
    """

    label: str
    aligned_by: str
    base_j: float | None
    other_j: float | None
    difference_j: float


@dataclass(frozen=True, slots=True)
class Difference:
    """`other` against `base`, per call.

    `ratio` is other / base, `interval_ratio` its 90 % interval, in which shared errors cancel; `energy_j` is other -
    base, and `interval_j` the same interval in joules, the smaller of the two held at its prediction.
    `is_significant`: the interval of the difference excludes zero (that of the ratio: one). `error_correlation` is
    that of the two log errors, learned from predictions as alike as these (`likeness`), of models that the predictor
    had not seen. `factor_per_sample` and `factor_per_token` turn the ratio into that per sample and per token.
    """

    base: str
    other: str
    energy_j: float
    interval_j: tuple[float, float]
    ratio: float
    interval_ratio: tuple[float, float]
    is_significant: bool
    likeness: str
    error_correlation: float
    factor_per_sample: float
    factor_per_token: float | None
    by_layer: tuple[Contribution, ...]
    by_role: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class Comparison(Shown):
    """Two or more predictions side by side.

    `entries` are in the order in which they were given; the first is the base. `differences` has every pair, an earlier
    entry being its base. `ranking` names the entries, least energy first, by `ranked_by`: 'energy_j' where all do the
    same work, else 'energy_per_token_j' or 'energy_per_sample_j'. `notes` say what to keep in mind.
    """

    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...]
    ranking: tuple[str, ...]
    ranked_by: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        entries = ", ".join(f"{entry.name} {format_quantity(entry.energy_j, 'J')}" for entry in self.entries)
        return f"<Comparison {entries}; least: {self.ranking[0]}>"

    @property
    def base(self) -> Entry:
        return self.entries[0]

    def entry(self, name: str) -> Entry:
        """The entry of a name. Raises UnknownName."""
        for found in self.entries:
            if found.name == name:
                return found
        raise UnknownName("entry", name, [found.name for found in self.entries])

    def difference(self, base: str, other: str) -> Difference:
        """The difference of two entries, the one that was given earlier as `base`. Raises UnknownName."""
        for found in self.differences:
            if (found.base, found.other) == (base, other):
                return found
        pairs = [f"{found.base} and {found.other}" for found in self.differences]
        raise UnknownName("pair", f"{base} and {other}", pairs)

    def to_json(self) -> dict[str, Any]:
        """The object that `irene compare --format json` prints; docs/json.md describes it."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}
