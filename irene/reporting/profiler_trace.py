"""Predicted joules beside each operator of a trace that `torch.profiler` wrote (`export_chrome_trace`).

The profiler and irene see the same calls: a trace's `cpu_op` events have names like `aten::linear`, and inside them
those that they call in turn. So the n-th `linear` of the tree is the n-th outermost `aten::linear` of the trace, and a
trace of several passes has each that many times. Where the numbers do not fit, the operator gets no joules and is
listed as unmatched: never another call's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction


def annotate_trace(trace: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
    """The trace with `predicted_energy_j`, `predicted_duration_s` and `path` in the args of each operator's event.

    `trace` is the parsed JSON of `torch.profiler.profile(...).export_chrome_trace(path)` of one or more passes of the
    model that `prediction` is of; it is left as it was. `otherData.irene` says what was matched: `passes`,
    `matched_share` of the predicted joules, and `unmatched` operators with how often each side has them. Raises
    BadInput for what is no such trace, and for a generation, whose decode steps stand for many.

    >>> import irene
    >>> prediction = irene.predict("bert-tiny", seq_len=8)
    >>> annotate_trace({"traceEvents": []}, prediction)["otherData"]["irene"]["matched_share"]
    0.0
    """
    if not isinstance(trace, Mapping) or not isinstance(trace.get("traceEvents"), list):
        raise BadInput("Expected the JSON of torch.profiler's export_chrome_trace: an object with 'traceEvents'.")
    if prediction.generation is not None:
        raise BadInput("A generation's decode steps stand for many: annotate a trace of one forward pass.")
    events = [dict(event) if isinstance(event, Mapping) else event for event in trace["traceEvents"]]
    leaves: dict[str, list[int]] = defaultdict(list)
    for index in map(int, prediction.flat.leaf_index):
        leaves[_event_name(prediction.flat.nodes[index].call.op)].append(index)  # type: ignore[union-attr]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in _outermost(events, set(leaves)):
        found[event["name"]].append(event)
    passes = _count_passes(leaves, found)
    energy_j, duration_s = prediction.values.energy_j, prediction.values.duration_s
    matched_j, unmatched = 0.0, {}
    for name, indices in leaves.items():
        own = found[name]
        if not passes or len(own) != passes * len(indices):
            if sum(energy_j[indices]) > 0:
                unmatched[name] = {"predicted": len(indices), "traced": len(own)}
            continue
        for number, event in enumerate(own):
            index = indices[number % len(indices)]
            event["args"] = dict(event.get("args") or {}) | {
                "predicted_energy_j": float(energy_j[index]), "predicted_duration_s": float(duration_s[index]),
                "path": prediction.flat.nodes[index].path,
            }  # fmt: skip
        matched_j += float(sum(energy_j[indices]))
    about = {
        "model": prediction.tree.model, "device": prediction.device, "energy_j": prediction.energy_j, "passes": passes,
        "matched_share": matched_j / prediction.energy_j if prediction.energy_j > 0 else 0.0, "unmatched": unmatched,
    }  # fmt: skip
    return {**trace, "traceEvents": events, "otherData": {**(trace.get("otherData") or {}), "irene": about}}


def _event_name(op: str) -> str:
    """'aten.linear.default' as the profiler writes it, 'aten::linear'."""
    namespace, _, rest = op.partition(".")
    return f"{namespace}::{rest.partition('.')[0]}"


def _outermost(events: Iterable[Any], names: set[str]) -> list[dict[str, Any]]:
    """Events of operators with these names in the order of time, but for those inside another one of them."""
    known = [e for e in events if isinstance(e, dict) and e.get("cat") == "cpu_op" and e.get("name") in names]
    known = [e for e in known if isinstance(e.get("ts"), (int, float)) and isinstance(e.get("dur"), (int, float))]
    ends: dict[tuple[Any, Any], float] = {}
    kept = []
    for event in sorted(known, key=lambda e: (e["ts"], -e["dur"])):
        thread = (event.get("pid"), event.get("tid"))
        if event["ts"] >= ends.get(thread, float("-inf")):
            ends[thread] = event["ts"] + event["dur"]
            kept.append(event)
    return kept


def _count_passes(leaves: Mapping[str, list[int]], found: Mapping[str, list[Any]]) -> int:
    """How many passes the trace has: what most of the calls say; 0 where none fits."""
    votes: dict[int, int] = defaultdict(int)
    for name, indices in leaves.items():
        times, rest = divmod(len(found.get(name, ())), len(indices))
        if times and not rest:
            votes[times] += len(indices)
    return max(votes, key=lambda times: (votes[times], -times), default=0)
