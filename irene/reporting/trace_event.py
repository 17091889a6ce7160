"""A prediction as a timeline for Perfetto and chrome://tracing: nested slices and a counter of power.

Trace Event Format: complete events ("ph": "X") of one thread nest by time, counters ("C") hold until the next value;
times are in microseconds. https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

The GPU runs one kernel after another in call order. A primitive's slice is the time in which it runs; where the GPU
waits for the host before it, only the slices of its modules go on, and the counter falls to idle power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from irene.hardware.devices import load_device
from irene.model_tree.addresses import address_nodes
from irene.version import __version__

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

_NANOSECONDS = 1e9
_PROCESS, _THREAD = 1, 1


def prediction_to_trace(prediction: Prediction) -> dict[str, Any]:
    """The JSON object that Perfetto opens: one slice for each call of the tree, in call order."""
    flat, values = prediction.flat, prediction.values
    whole_j = float(values.energy_j[0]) or 1.0
    idle_power_w = load_device(prediction.device).context_idle_power_w
    leaf = flat.leaf_index
    # Whole nanoseconds, so that no rounding lets a child end after its parent.
    ends = np.rint(np.cumsum(values.duration_s[leaf]) * _NANOSECONDS).astype(np.int64)
    edges = np.concatenate([[0], ends])
    gap_s = np.minimum(values.launch_gap_j[leaf] / idle_power_w, values.duration_s[leaf])
    runs_from = np.minimum(edges[:-1] + np.rint(gap_s * _NANOSECONDS).astype(np.int64), edges[1:])

    begin, end = edges[flat.leaf_start], edges[flat.leaf_end]
    begin[leaf] = runs_from
    events = _name_tracks(prediction)
    for index, (node, address) in enumerate(zip(flat.nodes, address_nodes(flat), strict=True)):
        events.append({
            "ph": "X", "pid": _PROCESS, "tid": _THREAD, "cat": node.kind, "name": node.name,
            "ts": int(begin[index]) / 1e3, "dur": int(end[index] - begin[index]) / 1e3,
            "args": {
                "path": address, "type": node.type, "energy_j": float(values.energy_j[index]),
                "share": float(values.energy_j[index]) / whole_j, "bound": values.bound[index],
                "flop": float(values.flop[index]), "traffic_bytes": float(values.traffic_bytes[index]),
                "provenance": values.provenance[index],
            },
        })  # fmt: skip
    busy_s = values.duration_s[leaf] - gap_s
    busy_j = values.energy_j[leaf] - values.launch_gap_j[leaf]
    power_w = np.divide(busy_j, busy_s, out=np.full_like(busy_s, idle_power_w), where=busy_s > 0)
    events += _count_power(edges, runs_from, power_w.tolist(), idle_power_w)
    about = {"model": prediction.tree.model, "device": prediction.device, "written_by": f"irene {__version__}"}
    return {"displayTimeUnit": "ns", "otherData": about, "traceEvents": events}


def _name_tracks(prediction: Prediction) -> list[dict[str, Any]]:
    names = {"process_name": f"{prediction.tree.model} on {prediction.device}", "thread_name": "one call (predicted)"}
    return [
        {"ph": "M", "pid": _PROCESS, "tid": _THREAD, "name": key, "args": {"name": name}} for key, name in names.items()
    ]


def _count_power(
    edges: np.ndarray[Any, Any], runs_from: np.ndarray[Any, Any], power_w: list[float], idle_power_w: float
) -> list[dict[str, Any]]:
    """Power at each change: idle while the GPU waits, the kernel's own while it runs, idle at the end."""
    changes: list[tuple[int, float]] = []
    for start, run, end, watts in zip(edges[:-1], runs_from, edges[1:], power_w, strict=True):
        if run > start:
            changes.append((int(start), idle_power_w))
        if end > run:
            changes.append((int(run), watts))
    changes.append((int(edges[-1]), idle_power_w))
    return [
        {"ph": "C", "pid": _PROCESS, "name": "power", "ts": at / 1e3, "args": {"W": round(watts, 3)}}
        for at, watts in changes
    ]
