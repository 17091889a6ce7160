"""Is the right model called the thriftier one? All pairs of measured models at equal workload, families held out.

python experiments/comparisons/run.py [--data data/h200] [--cases build/held-out.parquet]

Writes pairs.csv and the README, and what a comparison knows of shared errors (irene/explanation/errors_shared).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from irene.dataset.summary import to_markdown
from irene.evaluation.held_out import load_held_out
from irene.explanation.shared_errors import (
    INDEPENDENT,
    Residual,
    Sharing,
    fit_shared_errors,
    half_width_of_difference,
    likeness,
    residuals_of,
    save_shared_errors,
    sharing_of,
)
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORKLOAD = ["task", "batch_size", "seq_len", "decoder_seq_len", "dtype", "execution"]
DIFFERENT, LARGE = math.log(1.1), math.log(1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "held-out.parquet", help="kept between runs")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    judged = load_held_out(options.data, options.cases, jobs=options.jobs)
    models = judged[(judged["level"] == "model") & (judged["method"] == "window")].reset_index(drop=True)
    residuals = residuals_of(judged, load_device(DEFAULT_DEVICE))
    pairs = pd.DataFrame(compare_pairs(models, residuals, {}, at_equal_workload=True))
    pairs.to_csv(HERE / "pairs.csv", index=False, float_format="%.4g")
    every = pd.DataFrame(compare_pairs(models, residuals, {}, at_equal_workload=False))
    shared = fit_shared_errors(residuals)
    families = len({residual.family for residual in residuals})
    save_shared_errors(shared, "h200", f"{len(residuals)} models of {families} families, each family held out")
    sections = {
        "Pairs at equal workload": summarise(pairs),
        "All pairs, whatever the workload: does the interval of the ratio hold 90 %?": coverage(every),
        "What errors share (what comes with irene: all families)": describe_sharing(shared),
    }
    text = "\n\n".join(f"### {title}\n\n{to_markdown(frame).strip()}" for title, frame in sections.items())
    write_between_marks(HERE / "README.md", text)
    print(text)


def compare_pairs(
    models: pd.DataFrame, residuals: list[Residual], fitted: dict[frozenset[str], dict[str, Sharing]],
    *, at_equal_workload: bool,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """One row a pair of cases; what its errors share is learned from families that are neither's."""
    cases = models.to_dict("records")
    workloads = [str([case[name] for name in WORKLOAD]) for case in cases]  # as text: a missing length equals itself
    for i, j in combinations(range(len(cases)), 2):
        a, b = cases[i], cases[j]
        if at_equal_workload and (workloads[i] != workloads[j] or a["model"] == b["model"]):
            continue
        apart = frozenset((a["family"], b["family"]))
        if apart not in fitted:
            fitted[apart] = fit_shared_errors(r for r in residuals if r.family not in apart)
        left, right = residuals[i], residuals[j]
        like = likeness((left.architecture, right.architecture), (left.regime, right.regime))
        widths = (left.half_width, right.half_width)
        yield {
            "batch_size": a["batch_size"], "seq_len": a["seq_len"], "dtype": a["dtype"], "execution": a["execution"],
            "base": a["model"], "other": b["model"], "families": "/".join(sorted(apart)), "likeness": like,
            "measured": math.log(b["measured_energy_j"] / a["measured_energy_j"]),
            "predicted": math.log(b["predicted_energy_j"] / a["predicted_energy_j"]),
            "flop": math.log(b["flop"] / a["flop"]),
            "half_width": half_width_of_difference(widths, sharing_of(fitted[apart], like)),
            "independent_half_width": half_width_of_difference(widths, INDEPENDENT),
        }  # fmt: skip


def summarise(pairs: pd.DataFrame) -> pd.DataFrame:
    """The ranking and what is called significant at 90 %, with shared errors and with errors taken as independent."""
    different = pairs[pairs["measured"].abs() > DIFFERENT]
    table = [
        {"quantity": "pairs that differ by more than 10 %", "irene": len(different), "FLOP": len(different)},
        {
            "quantity": "Kendall tau",
            "irene": f"{tau(different, 'predicted'):.3f}",
            "FLOP": f"{tau(different, 'flop'):.3f}",
        },
    ]
    for name, column in (("shared errors", "half_width"), ("errors independent", "independent_half_width")):
        called = pairs[pairs["predicted"].abs() > pairs[column]]
        large = pairs[pairs["measured"].abs() > LARGE]
        right = np.sign(called["measured"]) == np.sign(called["predicted"])
        is_called = large["predicted"].abs() > large[column]
        table += [
            {"quantity": f"called significant ({name})", "irene": len(called)},
            {"quantity": f"of those with the measured sign, % ({name})", "irene": f"{100 * right.mean():.1f}"},
            {"quantity": f"pairs that differ by more than 30 %, called, % ({name})",
             "irene": f"{100 * is_called.mean():.1f} of {len(large)}"},
        ]  # fmt: skip
    return pd.DataFrame(table).fillna("")


def tau(pairs: pd.DataFrame, column: str) -> float:
    """Kendall's tau over pairs of equal workload: concordant less discordant, over all."""
    return float((np.sign(pairs["measured"]) * np.sign(pairs[column])).mean())


def coverage(pairs: pd.DataFrame) -> pd.DataFrame:
    """How often the measured ratio lies in the interval; each pair of families counts alike."""
    errors = (pairs["predicted"] - pairs["measured"]).abs()
    inside = pairs.assign(shared=errors <= pairs["half_width"], alone=errors <= pairs["independent_half_width"])
    table = []
    for like, group in [("all", inside), *inside.groupby("likeness")]:
        by_families = group.groupby("families")[["shared", "alone"]].mean().mean()
        table.append(
            {
                "likeness": like, "pairs": len(group),
                "median half-width %": round(100 * math.expm1(group["half_width"].median()), 1),
                "in interval %": round(100 * by_families["shared"], 1),
                "half-width, errors independent %": round(
                    100 * math.expm1(group["independent_half_width"].median()), 1
                ),
                "in interval, errors independent %": round(100 * by_families["alone"], 1),
            }
        )  # fmt: skip
    return pd.DataFrame(table)


def describe_sharing(shared: dict[str, Sharing]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"likeness": name, "pairs": found.pairs, "correlation": found.correlation, "factor": found.factor}
            for name, found in shared.items()
        ]
    )


if __name__ == "__main__":
    main()
