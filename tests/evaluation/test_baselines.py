"""Baselines are what their names say, and as good as their form allows."""

import numpy as np
import pandas as pd
import pytest

from irene.errors import BadDataset, UnknownName
from irene.evaluation.baselines import count_case_work, fit_flop_proportional, power_cap_roofline_j
from irene.hardware.devices import load_device
from tests.evaluation.made_rows import frame, gelu, linear, model_row, primitive_row

SPEC = load_device("h200")


def work(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"level": "model", "dtype": "bfloat16", "execution": "eager", **columns})


def test_work_of_a_model_is_that_of_its_kernels_one_by_one() -> None:
    big = linear(8192, 8192, 8192)  # bound by arithmetic; the other by memory: their times add
    rows = frame(
        primitive_row(big, "bert", 1.0),
        primitive_row(gelu(10**9), "bert", 1.0),
        model_row([big, gelu(10**9)], "bert", 1.0),
    )
    counted = count_case_work(rows, SPEC)
    product_s, gelu_s = 2 * 8192**3 / SPEC.peak("bfloat16"), 4e9 / SPEC.hbm_bytes_per_s
    assert counted["roofline_s"].tolist() == pytest.approx([product_s, gelu_s, product_s + gelu_s])
    assert counted["flop"][0] == 2 * 8192**3 and counted["flop"][2] == counted["flop"][0] + counted["flop"][1]
    assert power_cap_roofline_j(counted, SPEC).tolist() == pytest.approx((700 * counted["roofline_s"]).tolist())
    assert "roofline_s" not in rows


def test_rows_that_cannot_be_counted_are_refused() -> None:
    with pytest.raises(BadDataset, match="neither a signature nor a tree"):
        count_case_work(frame(primitive_row(gelu(4), "bert", 1.0, signature="")), SPEC)
    with pytest.raises(UnknownName, match="int4"):
        count_case_work(frame(primitive_row(linear(4, 4, 4), "bert", 1.0, dtype="int4")), SPEC)


def test_flop_proportional_has_a_constant_for_each_level_dtype_and_execution() -> None:
    train = work(
        level=["model", "model", "model", "module"], dtype=["bfloat16", "float32", "bfloat16", "bfloat16"],
        execution=["eager", "eager", "cuda_graph", "eager"], flop=10.0, energy_j=[20.0, 50.0, 10.0, 70.0],
    )  # fmt: skip
    fitted = fit_flop_proportional(train)
    assert fitted.predict_j(train.assign(flop=2.0)).tolist() == [4.0, 10.0, 2.0, 14.0]
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
