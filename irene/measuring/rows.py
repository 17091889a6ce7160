"""A measurement -> a row of data, with everything the protocol asks a row to carry."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime, timezone
from typing import Any

from irene.dataset.schema import Row
from irene.measuring.bursts import Burst
from irene.measuring.expert_routing import ExpertLoads
from irene.measuring.plan import GenerationCase, ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay
from irene.measuring.targets import BuiltModel, PeakMemory, Target
from irene.measuring.window import WindowMeasurement
from irene.model_tree.serialization import compress_tree


def primitive_row(
    case: PrimitiveCase, measured: WindowMeasurement | Burst, replay: Replay, repeat: int, collection: str
) -> Row:
    """A replayed primitive; `measured` is a window, or a burst, for time alone."""
    common: dict[str, Any] = {
        "case": case.key,
        "level": "primitive",
        "name": case.call.name,
        "families": case.families,
        "dtype": case.dtype,
        "execution": "cuda_graph",
        "weights": case.weights,
        "repeat": repeat,
        "calls_per_replay": replay.calls,
        "drawn_load_deviation": case.load_deviation,
        "signature": case.call.signature,
        "collection": collection,
        "measured_at": _now(),
        **_load_fields(replay.loads),
    }
    if isinstance(measured, Burst):
        timed = {field.name: getattr(measured, field.name) for field in fields(Burst)}
        return Row(method="events", **timed, **common)
    return Row(method="window", **common, **_window_fields(measured))


def model_row(
    case: ModelCase | GenerationCase,
    built: BuiltModel,
    target: Target,
    measured: WindowMeasurement,
    memory: PeakMemory | None = None,
    *,
    repeat: int,
    collection: str,
    family: str,
) -> Row:
    """A whole model, one of its modules, or a generation or a step of one, with the tree traced on this machine."""
    workload = target.tree.workload
    return Row(
        case=case.key,
        name=target.name,
        families=family,
        dtype=workload.dtype,
        execution=workload.execution,
        method="window",
        weights="hot",
        repeat=repeat,
        model=case.model,
        task=workload.task,
        batch_size=workload.batch_size,
        seq_len=workload.seq_len,
        decoder_seq_len=workload.decoder_seq_len,
        attention_implementation=built.attention_implementation,
        collection=collection,
        measured_at=_now(),
        tree=compress_tree(target.tree),
        peak_memory_bytes=None if memory is None else memory.peak_bytes,
        memory_before_bytes=None if memory is None else memory.before_bytes,
        **_case_fields(case),
        **_load_fields(target.loads),
        **_window_fields(measured),
    )


def _case_fields(case: ModelCase | GenerationCase) -> dict[str, Any]:
    if isinstance(case, ModelCase):
        return {"level": "module" if case.path else "model", "path": case.path}
    if not case.cache:  # its tree shows the prefill and the first steps alone
        return {"level": "generation", "new_tokens": case.workload.new_tokens, "context_len": 0, "cache": "dynamic"}
    return {"level": "decode_step", **{name: getattr(case, name) for name in ("context_len", "cache", "cache_len")}}


def _load_fields(loads: ExpertLoads | None) -> dict[str, Any]:
    return {} if loads is None else asdict(loads)


def _window_fields(measured: WindowMeasurement) -> dict[str, Any]:
    names = (
        "energy_j", "duration_s", "power_w", "calls", "window_s", "ticks", "gpu_utilization_pct",
        "memory_utilization_pct", "sm_clock_hz", "memory_clock_hz", "temperature_before_c", "temperature_after_c",
        "throttle_reasons", "memory_used_bytes", "host_cpu_pct", "note",
    )  # fmt: skip
    return {name: getattr(measured, name) for name in names}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
