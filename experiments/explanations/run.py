"""Does the bound that an explanation names agree with the regime that was measured? Writes cases.csv and the README.

python experiments/explanations/run.py [--data data/h200] [--cases build/held-out.parquet]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from irene.account import GPU_BOUND_FROM_PCT
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.evaluation.held_out import load_held_out
from irene.hardware.devices import load_device
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SW_POWER_CAP = 0x4  # nvmlClocksEventReasonSwPowerCap
POWER, HOST, GPU = "power_bound", "host_bound", "compute_ or memory_bound"
REGIMES = (POWER, HOST, GPU)
SHARES = (0.86, 0.88, 0.90, 0.92, 0.94, 0.96)
COLUMNS = ["family", "level", "model", "path", "batch_size", "seq_len", "dtype", "execution"]
NUMBERS = ["measured_power_w", "gpu_utilization_pct", "power_cap_flag", "predicted_power_w", "predicted_wait_share"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "held-out.parquet", help="kept between runs")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    cases = label_regimes(load_held_out(options.data, options.cases, jobs=options.jobs), load_rows(options.data))
    shown = [*COLUMNS, *NUMBERS, "measured_regime", "predicted_bound", "agrees"]
    cases[shown].to_csv(HERE / "cases.csv", index=False, float_format="%.4g")
    sections = {
        "Agreement": agreement(cases),
        "Models: measured (rows) and named (columns)": confusion(cases[cases["level"] == "model"]),
        "Agreement of models for other shares of the cap that are called power_bound, per cent": by_share(cases),
    }
    text = "\n\n".join(f"### {title}\n\n{to_markdown(frame).strip()}" for title, frame in sections.items())
    write_between_marks(HERE / "README.md", text)
    print(text)


def label_regimes(judged: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Modules and models with the regime that was measured, and the one that the explanation names."""
    cases = judged[(judged["level"] != "primitive") & (judged["method"] == "window")].reset_index(drop=True)
    flags = rows["throttle_reasons"].fillna(0).astype(int) & SW_POWER_CAP
    cases["power_cap_flag"] = cases["case"].map((flags > 0).groupby(rows["case"]).mean())
    spec = load_device("h200")
    waits_s = cases["predicted_wait_j"] / spec.context_idle_power_w
    cases["predicted_wait_share"] = waits_s / cases["predicted_duration_s"]
    is_capped = (cases["measured_power_w"] >= 0.95 * spec.power_cap_w) | (cases["power_cap_flag"] >= 0.5)
    is_waiting = (cases["execution"] == "eager") & (cases["gpu_utilization_pct"] < GPU_BOUND_FROM_PCT)
    cases["measured_regime"] = np.select([is_capped, is_waiting], [POWER, HOST], GPU)
    cases["named_regime"] = cases["predicted_bound"].where(cases["predicted_bound"].isin([POWER, HOST]), GPU)
    cases["agrees"] = cases["measured_regime"] == cases["named_regime"]
    return cases


def agreement(cases: pd.DataFrame) -> pd.DataFrame:
    """Share of cases whose regime is named right, by level and by measured regime."""
    table = []
    for level in ("model", "module", "both"):
        of_level = cases if level == "both" else cases[cases["level"] == level]
        for regime in ("all", *REGIMES):
            group = of_level if regime == "all" else of_level[of_level["measured_regime"] == regime]
            families = group.groupby("family")["agrees"].mean()
            table.append(
                {
                    "level": level, "measured regime": regime, "cases": len(group), "families": len(families),
                    "agreement %": round(100 * group["agrees"].mean(), 1),
                    "family mean %": round(100 * families.mean(), 1),
                }
            )  # fmt: skip
    return pd.DataFrame(table)


def confusion(cases: pd.DataFrame) -> pd.DataFrame:
    table = pd.crosstab(cases["measured_regime"], cases["named_regime"]).reindex(
        index=REGIMES, columns=REGIMES, fill_value=0
    )
    return table.reset_index(names="measured")


def by_share(cases: pd.DataFrame) -> pd.DataFrame:
    """What another threshold would give; the last column chooses it for each family on all others."""
    models = cases[cases["level"] == "model"]
    named = {share: _name(models, share) == models["measured_regime"] for share in SHARES}
    chosen = []
    for family in sorted(models["family"].unique()):
        here = models["family"] == family
        best = max(SHARES, key=lambda share: named[share][~here].mean())
        chosen.append(named[best][here])
    row = {f"{share:.2f}": round(100 * agrees.mean(), 1) for share, agrees in named.items()}
    return pd.DataFrame([row | {"chosen on the other families": round(100 * pd.concat(chosen).mean(), 1)}])


def _name(cases: pd.DataFrame, share: float) -> pd.Series[str]:
    spec = load_device("h200")
    is_power = cases["predicted_power_w"] > share * spec.power_cap_w
    named = np.select([cases["named_regime"] == HOST, is_power], [HOST, POWER], GPU)
    return pd.Series(named, index=cases.index)


if __name__ == "__main__":
    main()
