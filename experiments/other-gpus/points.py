"""What 8, 40 or 200 points of a GPU add to its spec sheet, and how wide an interval has to be: architectures held out.

    python experiments/other-gpus/points.py REFERENCE [--most 1000] [--draws 3] [--output FOLDER]

Points are rows of the same table, chosen as `irene calibrate` chooses; all other rows are judged. A tier's half-width
is the 90 % quantile of its errors on all other architectures, each table counting alike; coverage is on the one left.
Writes `points.csv` (errors by set) and `tiers.csv` (half-widths and coverage). CPU only, some minutes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from kernels import Table, read_attention, read_float32, read_products

from irene.arrays import FloatArray
from irene.hardware import load_device
from irene.leaves.leaf_table import make_table
from irene.leaves.residual import fit_residual, see_calls
from irene.leaves.transferred import TransferredLeaves
from irene.measuring.choosing import pick_central
from irene.measuring.plan import PrimitiveCase
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer

TIERS = (0, 8, 40, 200)
SAME_FAMILY = "flash_attention"
LEVEL = 0.9
_EACH = 2000  # errors that a table counts with


@dataclass(frozen=True, slots=True)
class Errors:
    """Log errors of the rows that were not measured, of one table at one tier."""

    name: str
    architecture: str
    tier: int
    log_errors: FloatArray
    is_same_family: bool

    @property
    def mape_pct(self) -> float:
        return float(100.0 * np.abs(np.expm1(-self.log_errors)).mean())


def judge(table: Table, measured: Predictor, draws: int) -> Iterator[Errors]:
    """Errors of every tier that the table has rows enough for."""
    spec = load_device(table.device)
    leaves = transfer(measured, spec).leaves
    assert isinstance(leaves, TransferredLeaves)
    found = make_table(table.calls, [table.dtype] * len(table.calls), [bool(cold) for cold in table.cold], spec)
    carried = leaves.carry(found)
    burst_s, sustained = leaves.settle(carried)
    predicted_s = np.sqrt(burst_s * sustained.duration_s) if table.is_burst_or_loop else sustained.duration_s
    log_ratios, seen = np.log(table.measured_s / predicted_s), see_calls(found, sustained.slowing)
    cases = [
        PrimitiveCase(call, "cold" if cold else "hot", "", True, table.dtype)
        for call, cold in zip(table.calls, table.cold, strict=True)
    ]
    place = {id(case): at for at, case in enumerate(cases)}
    for tier in TIERS:
        if tier > len(cases) // 2:
            continue
        errors = []
        for seed in range(draws if tier else 1):
            if not tier:
                errors.append(log_ratios)
                continue
            picked = np.array([place[id(case)] for case in pick_central(cases, tier, spec, random.Random(seed))])
            rest = np.setdiff1d(np.arange(len(cases)), picked)
            kernels = np.array(found.regressors)
            residual = fit_residual(seen[picked], kernels[picked].tolist(), log_ratios[picked])
            errors.append(log_ratios[rest] - residual.predict(seen[rest], kernels[rest].tolist()))
        same = not table.name.startswith("prefill") or table.name.endswith(SAME_FAMILY)
        yield Errors(table.name, spec.kernel_library, tier, np.concatenate(errors), same)


def cover(found: list[Errors]) -> pd.DataFrame:
    """One row a tier and architecture held out: the half-width of all others, and its coverage there."""
    rows = []
    for tier in TIERS:
        own = [one for one in found if one.tier == tier and one.is_same_family]
        for held_out in ["none", *sorted({one.architecture for one in own})]:
            width = _quantile([one for one in own if one.architecture != held_out])
            judged = [one for one in own if held_out in ("none", one.architecture)]
            covered = np.mean([np.mean(np.abs(one.log_errors) <= width) for one in judged])
            rows.append({
                "points": tier, "held_out": held_out, "tables": len(judged), "half_width": round(width, 3),
                "covered_pct": round(100.0 * float(covered), 1),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _quantile(errors: list[Errors]) -> float:
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.choice(np.abs(one.log_errors), _EACH) for one in errors])
    return float(np.quantile(drawn, LEVEL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--most", type=int, default=1000, help="rows of a table, drawn with one seed")
    parser.add_argument("--draws", type=int, default=3, help="choices of points that are averaged over")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    measured = load_bundle(shipped_bundle("h200"))
    found: list[Errors] = []
    for read in (read_products, read_float32, read_attention):
        for table in read(given.reference, given.most):
            found += judge(table, measured, given.draws)
    rows = [{"set": one.name, "points": one.tier, "mape_pct": round(one.mape_pct, 1)} for one in found]
    points = pd.DataFrame(rows).pivot_table(index="set", columns="points", values="mape_pct", sort=False).reset_index()
    tiers = cover(found)
    points.to_csv(given.output / "points.csv", index=False)
    tiers.to_csv(given.output / "tiers.csv", index=False)
    print(points.to_string(index=False), tiers.to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    main()
