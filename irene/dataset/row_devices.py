"""Which device rows were measured on, and whether that is the one that somebody names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.dataset.schema import GPUS
from irene.errors import BadDataset
from irene.hardware.devices import DEFAULT_DEVICE, device_of, load_device
from irene.hardware.spec import DeviceSpec

if TYPE_CHECKING:
    import pandas as pd


def find_device(rows: pd.DataFrame, device: str | None = None) -> DeviceSpec:
    """The spec sheet of the device of rows, or that of `device` if the rows are of such a GPU.

    Rows that do not say where they come from are taken for those of `device`, or of the default one. Raises BadDataset
    for rows of another GPU, of several, or of one without a sheet; UnknownName as `load_device`.
    """
    gpus = sorted(rows.attrs.get(GPUS, ()))
    spec = load_device(device) if device is not None else device_of(gpus) if gpus else load_device(DEFAULT_DEVICE)
    if spec is None:
        raise BadDataset(
            f"The rows were measured on {', '.join(gpus)}: no spec sheet is of that. Name one with --device, or load "
            "rows of one GPU alone."
        )
    strangers = [gpu for gpu in gpus if gpu not in spec.driver_names]
    if strangers:
        raise BadDataset(
            f"The rows were measured on {', '.join(strangers)}, the spec sheet of {spec.name} is of "
            f"{', '.join(spec.driver_names)}. Give the sheet of that GPU with --device, or rows of this one."
        )
    return spec
