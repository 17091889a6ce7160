"""Calibrate a predictor of another device on a real H200: the sheet is the H200's, distorted by factors that are drawn.

    python experiments/calibrate-h200/run.py [--rows data/h200] [--seed 1] [--models 60] [--output FOLDER]
    python experiments/calibrate-h200/run.py --live bundle

With rows, points and models are taken from what was measured on H200s before; with `--live`, `irene calibrate` measures
them on this machine's. Judged are GPU-bound forward passes in `--rows`, of families that gave no metered model. Writes
`table.csv`. The first needs no GPU and some minutes; the second an H200 and some three minutes more.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from irene.account import GPU_BOUND_FROM_PCT
from irene.dataset.store import load_rows
from irene.hardware import load_device
from irene.hardware.spec import DeviceSpec, spec_to_tables
from irene.leaves.learn_correction import Points
from irene.measuring.choosing import pick_central
from irene.measuring.plan import PrimitiveCase
from irene.model_tree.serialization import decompress_tree
from irene.predictor import calibrate
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.calibrating import read_models, read_points
from irene.predictor.calibration import apply_calibration, learn_calibration
from irene.predictor.calibration_files import load_calibration, source_digest
from irene.predictor.made_up_card import distort, draw_factors
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer
from irene.primitives.call import read_signature

NAME = "h200-distorted"
# Joules of the chip: the H200's clock in another process, which is 1.4 times as many.
PROCESS = "TSMC N7"
IDLE_FACTOR = 0.7
TIERS = (8, 40, 200)
MODELS = 3
METERED = ("bert", "gpt2", "vit")  # families whose models may be metered; they are not judged


def make_sheet(seed: int) -> tuple[DeviceSpec, dict[str, float]]:
    """The H200's sheet with other roofs, floor, cap and watts, and the factors."""
    factors = {name: factor for name, factor in draw_factors(seed).items() if name != "joules"}
    h200 = load_device("h200")
    sheet = distort(replace(h200, context_idle_power_w=IDLE_FACTOR * h200.context_idle_power_w, name=NAME), factors)
    sheet = replace(sheet, process=PROCESS, idle_power_w=IDLE_FACTOR * h200.idle_power_w)
    return sheet, factors | {"idle": IDLE_FACTOR}


def write_sheet(sheet: DeviceSpec, path: Path) -> None:
    """As TOML, each number with a source."""
    lines, peaks = [], spec_to_tables(sheet)["peak_flop_per_s"]
    for key, value in spec_to_tables(sheet).items():
        if isinstance(value, str):
            lines.append(f'{key} = "{value}"')
        elif isinstance(value, list):
            lines.append(f"{key} = [{', '.join(f'{item!r}' for item in value)}]".replace("'", '"'))
        elif key != "peak_flop_per_s":
            lines.append(f'{key} = {{ value = {value["value"]!r}, source = "drawn" }}')
    lines += ["[peak_flop_per_s]", *(f'{d} = {{ value = {p["value"]!r}, source = "drawn" }}' for d, p in peaks.items())]
    path.write_text("\n".join(lines) + "\n")


def choose_points(rows: pd.DataFrame, count: int, sheet: DeviceSpec, seed: int) -> Points:
    """So many primitives that were timed and metered, chosen as `irene calibrate` chooses."""
    own = rows[(rows.level == "primitive") & ~rows.reference.astype(bool) & rows.dtype.isin(["bfloat16", "float32"])]
    metered = own[own.method == "window"].drop_duplicates(["signature", "dtype", "weights"])
    timed = set(own[own.method == "events"][["signature", "dtype", "weights"]].itertuples(index=False, name=None))
    keys = [
        key for key in metered[["signature", "dtype", "weights"]].itertuples(index=False, name=None) if key in timed
    ]
    cases = {PrimitiveCase(read_signature(s), w, "", True, d): (s, d, w) for s, d, w in keys}
    picked = {cases[case] for case in pick_central(list(cases), count, sheet, random.Random(seed))}
    is_picked = [key in picked for key in own[["signature", "dtype", "weights"]].itertuples(index=False, name=None)]
    return read_points(own[is_picked], sheet)


def choose_models(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """One GPU-bound case of each of so many families."""
    busy = gpu_bound(rows)
    drawn = [busy[busy.families == family].case.drop_duplicates().sample(1, random_state=seed) for family in METERED]
    return rows[rows.case.isin(pd.concat(drawn[:count]))]


def gpu_bound(rows: pd.DataFrame) -> pd.DataFrame:
    """Forward passes of whole models, eager, that keep the GPU busy."""
    whole = rows[(rows.level == "model") & ~rows.reference.astype(bool) & (rows.execution == "eager")]
    return whole[(whole.gpu_utilization_pct >= GPU_BOUND_FROM_PCT) & whole.energy_j.notna()]


def judge(fitted: dict[str, Predictor], rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Errors of joules and seconds, mean over cases in a family, then over families; and coverage."""
    busy = gpu_bound(rows)
    busy = busy[~busy.families.isin(METERED)]
    cases = busy.case.drop_duplicates()
    busy = busy[busy.case.isin(cases.sample(min(most, len(cases)), random_state=0))]
    found = []
    for case, runs in busy.groupby("case"):
        tree, energy_j, duration_s = decompress_tree(min(runs.tree)), runs.energy_j.median(), runs.duration_s.median()
        for name, predictor in fitted.items():
            p = predictor.predict(tree)
            found.append({
                "predictor": name, "family": runs.families.iloc[0], "case": case,
                "joules": 100 * abs(p.energy_j / energy_j - 1), "time": 100 * abs(p.duration_s / duration_s - 1),
                "covered": 100.0 * (p.interval_j[0] <= energy_j <= p.interval_j[1]),
            })  # fmt: skip
    frame = pd.DataFrame(found)
    by_family = frame.groupby(["predictor", "family"], sort=False)[["joules", "time", "covered"]].mean()
    table = by_family.groupby("predictor", sort=False).mean().round(1).reset_index()
    return table.assign(cases=frame.case.nunique(), families=frame.family.nunique())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=Path("data/h200"))
    parser.add_argument("--live", type=Path, help="measure on this machine's H200, into this folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=int, default=60, help="whole models that are judged at most")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args(arguments)
    sheet, factors = make_sheet(given.seed)
    print(f"{NAME}: {', '.join(f'{name} x {factor}' for name, factor in factors.items())}, process {PROCESS}")
    shipped, rows = load_bundle(shipped_bundle("h200")), load_rows(given.rows)
    fitted = {"sheet": transfer(shipped, sheet)}
    for points in TIERS[: 2 if given.live else None]:
        if given.live:
            given.live.mkdir(parents=True, exist_ok=True)
            path = given.live / f"{NAME}.toml"
            write_sheet(sheet, path)
            folder = calibrate(given.live / f"{points}-points", device=str(path), points=points)
            calibration = load_calibration(folder)
        else:
            chosen = choose_points(rows, points, sheet, given.seed)
            metered = read_models(choose_models(rows, MODELS, given.seed))
            calibration = learn_calibration(shipped, sheet, chosen, metered, source_digest(), idle_w=120.0)
        fitted[f"{points} points, {MODELS} models"] = apply_calibration(shipped, calibration)
        cap_w = np.nan if calibration.power_cap_w is None else calibration.power_cap_w
        print(f"{points} points: cap {cap_w:.0f} W, joules of models x {np.exp(calibration.correction.joules_log):.3f}")
    table = judge(fitted, rows, given.models)
    table.to_csv(given.output / "table.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
