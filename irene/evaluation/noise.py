"""The noise floor: how far two measurements of the same call lie apart, on one card and between cards.

No predictor can be better than that, and no difference below it means anything. All repeats count, none is dropped,
reference calls too. `rows` are single runs of the window or of CUDA events, with the columns of `Row` and `run` (which
start of a collection, on which machine: `irene.dataset.summary.label_runs`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from irene.account import GPU_BOUND_FROM_PCT
from irene.dataset.store import has_drawn_loads
from irene.evaluation.metrics import median_ape_pct, worst_ape_pct

GPU_BOUND, HOST_BOUND, UNKNOWN = "GPU-bound", "host-bound", "not measured"
SAME_CARD, OTHER_CARD = "repeats on one card", "one call on several cards"
_TEXTS = ("model", "path", "task", "dtype", "execution", "weights", "signature")
_COUNTS = ("batch_size", "seq_len", "decoder_seq_len")


def regime_of(gpu_utilization_pct: float) -> str:
    """'GPU-bound' from 85 % mean utilisation on, 'host-bound' below, 'not measured' for NaN."""
    if np.isnan(gpu_utilization_pct):
        return UNKNOWN
    return GPU_BOUND if gpu_utilization_pct >= GPU_BOUND_FROM_PCT else HOST_BOUND


def repeat_noise_pct(values: npt.ArrayLike) -> float:
    """Noise of one case from its repeats; NaN where there is only one.

    Each run is compared with the median of the *other* runs, |run - median(others)| / median(others), and the mean of
    that over the runs is taken: the error that a single measurement would make as a prediction of the case.

    >>> repeat_noise_pct([10.0, 10.0, 13.0])  # 11.5 -> 13.04 %, twice; 10 -> 30 %
    18.695652173913043
    """
    runs = np.asarray(values, dtype=float)
    if runs.ndim != 1 or not (np.isfinite(runs) & (runs > 0)).all():
        raise ValueError("expected a vector of positive finite values")
    if runs.size < 2:
        return float("nan")
    others = np.array([np.median(np.delete(runs, i)) for i in range(runs.size)])
    return float((np.abs(runs - others) / others).mean() * 100.0)


def name_calls(rows: pd.DataFrame) -> pd.Series[str]:
    """What was called, as text: a reference call and a planned case of the same model are the same call."""
    counts = rows[list(_COUNTS)].astype("Int64")  # 8 and 8.0 (beside missing values) are the same batch size
    text = pd.concat([rows[list(_TEXTS)], counts], axis=1).astype("string").fillna("")
    return text.agg("|".join, axis=1).astype(str)


def noise_by_call_pct(rows: pd.DataFrame, column: str = "energy_j") -> pd.DataFrame:
    """Noise of every call that was measured more than once: `call`, `method`, `scope`, `noise_pct`, level and so on.

    On one card, repeats of one run are compared (several such runs are averaged); between cards, each run's median.
    Two runs may have been on one card: what is said about cards is then a little too small. Replays with drawn loads
    are left out: a call's name does not tell them from equal loads.
    """
    runs = rows[rows[column].notna() & ~has_drawn_loads(rows)].assign(call=name_calls(rows))
    keys = ["call", "method"]
    groups = runs.groupby(keys, sort=False)
    about = groups[["level", "execution", "dtype"]].first()
    about["gpu_utilization_pct"] = groups["gpu_utilization_pct"].median()
    by_run = runs.groupby([*keys, "run"], sort=False)[column]
    scopes = {
        SAME_CARD: by_run.agg(repeat_noise_pct).groupby(level=keys, sort=False).mean(),
        OTHER_CARD: by_run.median().groupby(level=keys, sort=False).agg(repeat_noise_pct),
    }
    parts = [about.assign(scope=scope, noise_pct=noise).dropna(subset="noise_pct") for scope, noise in scopes.items()]
    return pd.concat(parts).reset_index()


def attach_noise(judged: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Judged cases with `noise_floor_pct` and `card_noise_pct` of the same call (NaN: measured once).

    It is the noise of the energy; of the time in rows of CUDA events, which have no energy.
    """
    events = rows["method"] == "events"
    noise = pd.concat([noise_by_call_pct(rows[~events]), noise_by_call_pct(rows[events], "duration_s")])
    found = noise.set_index(["call", "method", "scope"])["noise_pct"].unstack("scope")
    keys = pd.MultiIndex.from_arrays([name_calls(judged), judged["method"]])
    found = found.reindex(columns=[SAME_CARD, OTHER_CARD]).reindex(keys)
    return judged.assign(noise_floor_pct=found[SAME_CARD].to_numpy(), card_noise_pct=found[OTHER_CARD].to_numpy())


def tabulate_noise(rows: pd.DataFrame) -> pd.DataFrame:
    """The noise floor of energy and of time by level, execution and regime; every number in per cent."""
    table = []
    for quantity, column in (("energy", "energy_j"), ("time", "duration_s")):
        noise = noise_by_call_pct(rows, column)
        noise["regime"] = noise["gpu_utilization_pct"].astype(float).map(regime_of)
        keys = ["scope", "level", "method", "execution", "regime"]
        for key, group in noise.groupby(keys, sort=False)["noise_pct"]:
            values = group.to_numpy()
            summary = {"calls": len(values), "mean": values.mean(), "median": median_ape_pct(values)}
            table.append(
                {"quantity": quantity, **dict(zip(keys, key, strict=True)), **summary, "worst": worst_ape_pct(values)}
            )
    return pd.DataFrame(table)
