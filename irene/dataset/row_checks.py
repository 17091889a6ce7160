"""What a row may hold: rules that every measured row keeps, when it is written and when it is loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from irene.errors import BadDataset
from irene.quoting import quote

MOST_OF_CAP = 1.05
"""Power over the board's cap, at most: the H200s that were measured reached 1.01 of theirs over a window."""
_SAME = 1e-6  # energy and power x duration come from one interval: seen 4e-16 apart
LABELS = ("energy_j", "duration_s", "power_w")
_TINY = math.ulp(0.0)  # above 0
_MOST = 2**63 - 1  # what a column holds
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys((*LABELS, "calls", "window_s", "sm_clock_hz", "memory_clock_hz"), (_TINY, math.inf)),
    **dict.fromkeys(("ticks", "calls_per_replay", "batch_size", "seq_len", "decoder_seq_len", "ranks"), (1, _MOST)),
    **dict.fromkeys(("repeat", "new_tokens", "memory_used_bytes"), (0, _MOST)),
    **dict.fromkeys(("gpu_utilization_pct", "memory_utilization_pct", "busy_experts_pct"), (0.0, 100.0)),
    **dict.fromkeys(("spread_pct", "expert_load_deviation", "drawn_load_deviation"), (0.0, math.inf)),
    **dict.fromkeys(("temperature_before_c", "temperature_after_c"), (-50.0, 150.0)),
    "throttle_reasons": (0, _MOST),
    "host_cpu_pct": (0.0, 1e6),
}
"""The least and largest value of each number of a row, where it has one."""


def flaw_of_row(row: dict[str, Any], power_cap_w: float | None = None) -> str:
    """Why a row must not become data; '' if it may. `power_cap_w` is that of each board, None where it is not known."""
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} is {value}, expected a finite number or None"
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if isinstance(value, (int, float)) and not low <= value <= high:
            return f"{name} is {value}, expected {_describe(low, high)}"
    if row["duration_s"] is None:
        return "duration_s is None, expected a number"
    energy_j, power_w = row.get("energy_j"), row.get("power_w")
    if energy_j is not None and power_w is not None:
        product_j = power_w * row["duration_s"]
        if abs(energy_j - product_j) > _SAME * energy_j:
            return f"energy_j is {energy_j}, but power_w x duration_s is {product_j}"
    cap_w = None if power_cap_w is None else power_cap_w * row.get("ranks", 1)
    if power_w is not None and cap_w is not None and power_w > MOST_OF_CAP * cap_w:
        return f"power_w is {power_w:.0f}, more than {MOST_OF_CAP} of the board's cap of {cap_w:.0f} W"
    return ""


def refuse_bad_rows(table: Any, path: Path, power_cap_w: float | None) -> None:
    """Raise `BadDataset` for the first row of an Arrow table that breaks a rule of `flaw_of_row`.

    On the table, not a frame: pandas cannot tell a missing number (fine) from a stored NaN (an error).
    """
    import numpy as np

    good = np.ones(table.num_rows, dtype=bool)
    columns: dict[str, Any] = {}
    for field in table.schema:
        if str(field.type) not in ("double", "int64"):
            continue
        column = table[field.name]
        values = column.to_numpy().astype(float)
        missing = column.is_null().to_numpy()
        low, high = RANGES.get(field.name, (-math.inf, math.inf))
        good &= missing | (np.isfinite(values) & (values >= low) & (values <= high))
        columns[field.name] = values
    with np.errstate(invalid="ignore", over="ignore"):  # a missing number is NaN here, and compares as false
        product_j = columns["power_w"] * columns["duration_s"]
        good &= ~(np.abs(columns["energy_j"] - product_j) > _SAME * columns["energy_j"])
        if power_cap_w is not None:
            good &= ~(columns["power_w"] > MOST_OF_CAP * power_cap_w * columns["ranks"])
    if good.all():
        return
    first = int(np.argmin(good))
    row = table.slice(first, 1).to_pylist()[0]
    raise BadDataset(
        f"{path}: case {quote(row['case'])}, repeat {row['repeat']}: {flaw_of_row(row, power_cap_w)} "
        f"({int((~good).sum())} such rows). Remove them from the journal and write it again."
    )


def refuse_twins(rows: Any, directory: Path) -> None:
    """Raise `BadDataset` where one run stands twice in a frame: same collection, case, method, repeat and time.

    Repeats that were measured on purpose differ in their number.
    """
    keys = ["collection", "case", "method", "repeat", "measured_at"]
    twins = rows.duplicated(keys)
    if twins.any():
        row = rows[twins].iloc[0]
        raise BadDataset(
            f"{directory}: {int(twins.sum())} rows stand there twice, the first is case {quote(row['case'])} of "
            f"collection {quote(row['collection'])}, repeat {row['repeat']}. Remove one copy of them."
        )


def _describe(low: float, high: float) -> str:
    if low == _TINY:
        return "more than 0"
    return f"at least {low:g}" if high >= _MOST else f"{low:g} to {high:g}"
