"""A prediction as a flame graph for speedscope, weighted by energy: the width of a frame is its joules.

Format: https://www.speedscope.app/file-format-schema.json, a 'sampled' profile. Each leaf is one sample: its stack of
modules, weighted with its energy. The format has units of time and of bytes only, so the weights are unitless numbers
of microjoules, as the profile's name says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irene.version import __version__

if TYPE_CHECKING:
    from irene.model_tree.tree import Node
    from irene.predictor.prediction import Prediction

_MICROJOULES = 1e6


def prediction_to_speedscope(prediction: Prediction) -> dict[str, Any]:
    """The JSON object that speedscope opens. Calls of one module share a frame, so 'left heavy' sums them."""
    flat, values = prediction.flat, prediction.values
    frames: list[dict[str, str]] = []
    numbers: dict[tuple[str, str], int] = {}
    stacks: list[list[int]] = []
    samples, weights = [], []
    for index, node in enumerate(flat.nodes):
        above = stacks[flat.parent[index]] if index else []
        stacks.append([*above, _number_frame(node, frames, numbers)])
        energy_j = float(values.energy_j[index])
        if node.kind == "primitive" and energy_j > 0:
            samples.append(stacks[index])
            weights.append(energy_j * _MICROJOULES)
    name = f"{prediction.tree.model} on {prediction.device}"
    profile = {
        "type": "sampled",
        "name": f"{name}: energy in microjoules",
        "unit": "none",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"irene@{__version__}",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [profile],
    }


def _number_frame(node: Node, frames: list[dict[str, str]], numbers: dict[tuple[str, str], int]) -> int:
    """The frame of a module is its path, that of a primitive its operator."""
    name = node.call.name if node.call is not None else node.path or node.type
    key = (name, node.type)
    if key not in numbers:
        numbers[key] = len(frames)
        frames.append({"name": name, "file": node.type})
    return numbers[key]
