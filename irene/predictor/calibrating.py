"""The door of calibration: measure a few calls on this machine's GPU, learn what they say, and write it down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.leaves.learn_correction import Points
from irene.model_tree.serialization import decompress_tree
from irene.predictor.calibration import MeteredModel, learn_calibration
from irene.predictor.calibration_files import save_calibration, source_digest
from irene.primitives.call import read_signature
from irene.primitives.kinds import launches_kernel

if TYPE_CHECKING:
    import pandas as pd

    from irene.measuring.machine import Machine

ROWS = "rows"


def calibrate(
    output: str | Path,
    *,
    device: str,
    points: int = 40,
    for_model: str | None = None,
    sm_clock_hz: float | None = None,
    simulate: bool = False,
    machine: Machine | None = None,
) -> Path:
    """Measure `points` primitives and three whole models on this machine, and write a calibration; returns its folder.

    `device` is a name, or the path of a spec sheet. The rows lie in the folder too: what is there already is not
    measured anew. `for_model` chooses calls of that model. `simulate` measures a card that is made up. Without an
    energy counter time alone is learned. Raises BadInput for too few points, and MeterError without a GPU.
    """
    from irene.dataset.store import load_rows, read_manifest
    from irene.measuring.calibration_plan import plan_calibration, without_energy
    from irene.measuring.collecting import collect
    from irene.measuring.collection import HowToMeasure
    from irene.measuring.counter import has_counter
    from irene.predictor.bundle import has_bundle
    from irene.predictor.finding import load_shipped

    spec = load_device(device)
    if has_bundle(spec.name):
        raise BadInput(
            f"{spec.name} was measured at length, and its predictor comes with irene: a few points know less. For one "
            "board of it there is 'irene collect --reference'; another GPU is named by --device."
        )
    plan = plan_calibration(spec, points, for_model)
    measured = load_shipped()
    how = HowToMeasure(with_references=False)
    if simulate:
        from irene.measuring.simulated_machine import REHEARSAL
        from irene.predictor.made_up_card import make_up_card

        machine, how = make_up_card(measured, spec, sm_clock_hz), REHEARSAL
    elif machine is None:
        from irene.measuring.machine import GpuMachine

        machine = GpuMachine()
        _require_its_card(machine, spec)
    if not has_counter(machine.meter):
        plan = without_energy(plan)
    rows_folder = collect(plan, Path(output) / ROWS, machine=machine, how=how)
    rows = load_rows(rows_folder)
    idle_w = read_manifest(rows_folder)["runs"][-1].get("idle_power_context_w")
    learned = (read_points(rows, spec), read_models(rows), source_digest())
    calibration = learn_calibration(measured, spec, *learned, sm_clock_hz, idle_w)
    return save_calibration(calibration, output)


def read_points(rows: pd.DataFrame, spec: DeviceSpec) -> Points:
    """The primitives of measured rows, medians over repeats. Raises BadInput if none launches a kernel."""
    own = rows[(rows["level"] == "primitive") & ~rows["reference"].astype(bool)]
    calls, dtypes, cold, numbers = [], [], [], []
    for (signature, dtype, weights), runs in own.groupby(["signature", "dtype", "weights"], sort=True):
        call = read_signature(str(signature))
        if not launches_kernel(call):
            continue
        of_bursts, of_windows = runs[runs["method"] == "events"], runs[runs["method"] == "window"]
        calls.append(call)
        dtypes.append(effective_dtype(call, str(dtype)))
        cold.append(bool(weights == "cold"))
        numbers.append([
            of_bursts["duration_s"].median(), of_windows["duration_s"].median(), of_windows["energy_j"].median(),
        ])  # fmt: skip
    if not calls:
        raise BadInput("None of the primitives could be measured; the folder's skips say why of each.")
    burst_s, duration_s, energy_j = np.array(numbers, dtype=np.float64).T
    return Points(make_table(calls, dtypes, cold, spec), burst_s, duration_s, energy_j)


def read_models(rows: pd.DataFrame) -> list[MeteredModel]:
    """The whole models of measured rows, medians over repeats."""
    own = rows[(rows["level"] == "model") & ~rows["reference"].astype(bool) & rows["energy_j"].notna()]
    return [
        MeteredModel(decompress_tree(min(runs["tree"])), float(runs["energy_j"].median()))
        for _, runs in own.groupby("case", sort=True)
    ]


def _require_its_card(machine: Machine, spec: DeviceSpec) -> None:
    """Raise BadInput where the driver says that the GPU is not the one of the sheet."""
    name = machine.describe().get("gpu")
    if name and name not in spec.driver_names:
        known = ", ".join(spec.driver_names)
        raise BadInput(
            f"This machine's GPU is {name}, the sheet of {spec.name} is of {known}. Give --device its sheet."
        )
