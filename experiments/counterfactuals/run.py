"""Are re-predicted changes right? Measured pairs that differ in one thing. Writes pairs.csv and the README.

python experiments/counterfactuals/run.py [--data data/h200] [--cases build/held-out.parquet]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from irene.dataset.summary import to_markdown
from irene.evaluation.held_out import load_held_out
from irene.evaluation.noise import regime_of
from irene.explanation.shared_errors import (
    LIKENESSES,
    Residual,
    fit_shared_errors,
    half_width_of_difference,
    residuals_of,
    sharing_of,
)
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEYS = ["level", "model", "path", "task", "batch_size", "seq_len", "decoder_seq_len", "dtype", "execution", "weights"]
TIMES_NOISE = 2.0
Key = tuple[Any, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "held-out.parquet", help="kept between runs")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    judged = load_held_out(options.data, options.cases, jobs=options.jobs)
    pairs = pd.DataFrame(find_pairs(fill_noise(judged[judged["method"] == "window"])))
    pairs["is_in_interval"] = hold_intervals(pairs, residuals_of(judged, load_device(DEFAULT_DEVICE)))
    pairs.to_csv(HERE / "pairs.csv", index=False, float_format="%.4g")
    above = pairs[pairs["is_above_noise"]]
    text = to_markdown(summarise(above)).strip()
    worst = above[above["level"] != "primitive"].sort_values("size_error_pct", ascending=False).head(8)
    shown = ["change", "level", "model", "path", "workload", "measured_ratio", "predicted_ratio", "size_error_pct"]
    text += "\n\n### The worst models and modules\n\n" + to_markdown(worst[shown].round(3)).strip()
    write_between_marks(HERE / "README.md", text)
    print(text)


def fill_noise(cases: pd.DataFrame) -> pd.DataFrame:
    """Every case with a noise floor: its own repeats', else the median of its level, execution and regime, or level."""
    regime = cases["gpu_utilization_pct"].astype(float).map(regime_of)
    noise = cases["noise_floor_pct"].fillna(cases["card_noise_pct"]).astype(float)
    like = noise.groupby([cases["level"], cases["execution"], regime]).transform("median")
    level = noise.groupby(cases["level"]).transform("median")
    return cases.assign(noise_pct=noise.fillna(like).fillna(level))


def find_pairs(cases: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One row a measured pair: the first side is the present case, the second the changed one."""
    by_key = {_key(case): case for case in cases.to_dict("records")}
    for key, case in by_key.items():
        for change, change_key in CHANGES.items():
            other = by_key.get(change_key(key))
            if other is not None and change_key(key) != key:
                yield _describe_pair(change, case, other)


def hold_intervals(pairs: pd.DataFrame, residuals: list[Residual]) -> list[bool | None]:
    """Whether the 90 % interval of each ratio holds the measured one; shared errors are learned from other families.

    `None` for primitives: residuals are those of whole models.
    """
    fitted = {family: fit_shared_errors(r for r in residuals if r.family != family) for family in set(pairs["family"])}
    held: list[bool | None] = []
    for pair in pairs.to_dict("records"):
        same = LIKENESSES[0] if pair["regime"] == pair["changed_regime"] else LIKENESSES[2]
        widths = (pair["half_width"], pair["changed_half_width"])
        width = half_width_of_difference(widths, sharing_of(fitted[pair["family"]], same))
        error = abs(np.log(pair["predicted_ratio"] / pair["measured_ratio"]))
        held.append(None if pair["level"] == "primitive" else bool(error <= width))
    return held


def summarise(pairs: pd.DataFrame) -> pd.DataFrame:
    """Sign and size of the change by what changed; models and modules together are what the bar is about."""
    trees = pairs["level"] != "primitive"
    table = []
    for name, group in (("models and modules", pairs[trees]), ("primitives", pairs[~trees])):
        for change in ("all", *CHANGES):
            here = group if change == "all" else group[group["change"] == change]
            if len(here):
                table.append(
                    {
                        "what": name, "change": change, "pairs": len(here), "families": here["family"].nunique(),
                        "sign right %": round(100 * here["is_sign_right"].mean(), 1),
                        "median size error %": round(here["size_error_pct"].median(), 1),
                        "p90 %": round(float(np.percentile(here["size_error_pct"], 90)), 1),
                        "in interval %": "-" if name == "primitives"
                        else round(100 * here["is_in_interval"].astype(float).mean(), 1),
                    }
                )  # fmt: skip
    return pd.DataFrame(table)


def _key(case: dict[str, Any]) -> Key:
    if case["level"] == "primitive":
        return ("primitive", case["signature"], case["dtype"], case["weights"])
    return tuple(None if pd.isna(case[name]) else case[name] for name in KEYS)


def _other_dtype(key: Key) -> Key | None:
    if key[0] == "primitive":
        level, signature, dtype, weights = key
        changed = signature.replace('"bfloat16"', '"float32"')
        return (level, changed, "float32", weights) if dtype == "bfloat16" else None
    return _replace(key, dtype="float32") if key[KEYS.index("dtype")] == "bfloat16" else None


def _captured(key: Key) -> Key | None:
    if key[0] == "primitive" or key[KEYS.index("execution")] != "eager":
        return None
    return _replace(key, execution="cuda_graph")


def _doubled(key: Key) -> Key | None:
    return None if key[0] == "primitive" else _replace(key, batch_size=2 * key[KEYS.index("batch_size")])


CHANGES: dict[str, Callable[[Key], Key | None]] = {
    "float32 instead of bfloat16": _other_dtype,
    "cuda_graph instead of eager": _captured,
    "batch 2b instead of b": _doubled,
}


def _replace(key: Key, **changes: Any) -> Key:
    return tuple(changes.get(name, value) for name, value in zip(KEYS, key, strict=True))


def _describe_pair(change: str, case: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    measured = other["measured_energy_j"] / case["measured_energy_j"]
    predicted = other["predicted_energy_j"] / case["predicted_energy_j"]
    noise = max(case["noise_pct"], other["noise_pct"]) / 100
    size = "" if pd.isna(case["batch_size"]) else f"{case['batch_size']:.0f}"
    length = "" if pd.isna(case["seq_len"]) else f" x {case['seq_len']:.0f}"
    return {
        "change": change, "level": case["level"], "family": case["family"], "model": case["model"],
        "path": case["path"], "kind": case["kind"], "workload": f"{size}{length} {case['dtype']} {case['execution']}",
        "measured_ratio": measured, "predicted_ratio": predicted, "noise_pct": 100 * noise,
        "is_above_noise": abs(np.log(measured)) > np.log1p(TIMES_NOISE * noise),
        "is_sign_right": np.sign(np.log(measured)) == np.sign(np.log(predicted)),
        "size_error_pct": 100 * abs(predicted / measured - 1),
        "regime": _regime(case), "changed_regime": _regime(other),
        "half_width": _half_width(case), "changed_half_width": _half_width(other),
    }  # fmt: skip


def _half_width(case: dict[str, Any]) -> float:
    return float(0.5 * np.log(case["high_j"] / case["low_j"]))


def _regime(case: dict[str, Any]) -> str:
    return "host_bound" if case["predicted_bound"] == "host_bound" else str(case["execution"])


if __name__ == "__main__":
    main()
