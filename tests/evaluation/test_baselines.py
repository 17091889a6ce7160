"""Baselines are what their names say, and as good as their form allows."""

import numpy as np
import pandas as pd
import pytest

from irene.errors import UnknownName
from irene.evaluation.baselines import fit_flop_proportional, power_cap_roofline_j, roofline_duration_s

PEAKS = {"bfloat16": 1000.0, "float32": 100.0}


def work(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"dtype": "bfloat16", "execution": "eager", "traffic_bytes": 0.0, **columns})


def test_the_slower_roof_decides() -> None:
    frame = work(
        dtype=["bfloat16", "float32", "bfloat16"], flop=[2000.0, 2000.0, 0.0], traffic_bytes=[10.0, 10.0, 30.0]
    )
    assert roofline_duration_s(frame, PEAKS, 10.0).tolist() == [2.0, 20.0, 3.0]
    assert power_cap_roofline_j(frame, 700.0, PEAKS, 10.0).tolist() == [1400.0, 14000.0, 2100.0]


def test_no_roof_and_no_work_are_refused() -> None:
    with pytest.raises(UnknownName, match="float16"):
        roofline_duration_s(work(dtype=["float16"], flop=[1.0]), PEAKS, 10.0)
    with pytest.raises(ValueError, match="neither FLOP nor bytes"):
        roofline_duration_s(work(flop=[0.0]), PEAKS, 10.0)


def test_flop_proportional_has_a_constant_for_each_dtype_and_execution() -> None:
    train = work(
        dtype=["bfloat16", "float32", "bfloat16"], execution=["eager", "eager", "cuda_graph"],
        flop=[10.0, 10.0, 10.0], energy_j=[20.0, 50.0, 10.0],
    )  # fmt: skip
    fitted = fit_flop_proportional(train)
    assert fitted.predict_j(train.assign(flop=2.0)).tolist() == [4.0, 10.0, 2.0]
    assert np.isnan(fitted.predict_j(work(dtype=["float16"], flop=[1.0]))).all()
    assert fitted.predict_j(work(flop=[0.0])).tolist() == [0.0]


def test_flop_proportional_minimises_the_mape() -> None:
    generator = np.random.default_rng(0)
    flop, energy_j = generator.lognormal(size=40, sigma=2), generator.lognormal(size=40, sigma=2)
    train = work(flop=[*flop, 0.0, 1.0], energy_j=[*energy_j, 1.0, np.nan])  # rows without work or energy teach nothing

    def mape(constant: float) -> float:
        return float(np.mean(np.abs(constant * flop - energy_j) / energy_j))

    best = float(fit_flop_proportional(train).predict_j(work(flop=[1.0]))[0])
    assert mape(best) <= min(mape(c) for c in energy_j / flop) + 1e-12
