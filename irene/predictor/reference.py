"""One metered reference call takes the card out: what this board draws over what is predicted of its kind."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput, NoMeasurement
from irene.hardware.devices import DEFAULT_DEVICE, device_of
from irene.model_tree.serialization import decompress_tree
from irene.predictor.finding import find_predictor

if TYPE_CHECKING:
    from irene.measuring.collection import HowToMeasure
    from irene.measuring.machine import Machine


@dataclass(frozen=True, slots=True)
class CardReading:
    """The reference call as it was metered and as it is predicted, in J and s; `card_factor` is the ratio of powers."""

    device: str
    reference: str
    measured_j: float
    predicted_j: float
    measured_s: float
    predicted_s: float
    card_factor: float

    def to_json(self) -> dict[str, Any]:
        return {"schema_version": 1, **asdict(self)}


def measure_card(
    machine: Machine | None = None, predictor: str | Path | None = None, how: HowToMeasure | None = None
) -> CardReading:
    """Meter the reference that tracks the card: a captured call, well below the power cap. It takes some seconds.

    Its power over the predicted one is the factor; its time is the same on every board of a kind. Raises MeterError
    without a GPU, BadInput on one without a sheet, NoMeasurement where the call could not be measured.
    """
    from irene.dataset.store import load_rows
    from irene.measuring.collecting import collect
    from irene.measuring.collection import HowToMeasure
    from irene.measuring.machine import GpuMachine
    from irene.measuring.plan import ModelCase, Plan
    from irene.measuring.references import REFERENCES

    machine = machine or GpuMachine()
    (reference,) = [one for one in REFERENCES if one.tracks_card]
    assert isinstance(reference.case, ModelCase)
    gpu = machine.describe().get("gpu")
    spec = device_of({str(gpu)}) if gpu else None
    if gpu and spec is None:
        raise BadInput(f"This machine's GPU is {gpu}: no sheet is of that; docs/add-a-device.md says how to add one.")
    device = DEFAULT_DEVICE if spec is None else spec.name
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan("reference", 0, (), (reference.case,))
        rows = load_rows(collect(plan, folder, machine=machine, how=how or HowToMeasure(with_references=False)))
        own = rows[rows["energy_j"].notna()]
        if own.empty:
            raise NoMeasurement(f"The reference {reference.name} could not be measured on {device}.")
        energy_j, duration_s = float(own["energy_j"].median()), float(own["duration_s"].median())
        tree = decompress_tree(min(own["tree"]))
    predicted = find_predictor(predictor, device).predict(tree)
    factor = energy_j / duration_s / (predicted.energy_j / predicted.duration_s)
    return CardReading(
        device, reference.name, energy_j, predicted.energy_j, duration_s, predicted.duration_s, round(factor, 4)
    )
