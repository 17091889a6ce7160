"""Rows of several GPUs teach what is exchanged, and nothing of one GPU."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irene.dataset.store import load_rows
from irene.hardware.devices import load_device
from irene.hardware.system import find_link
from irene.leaves.kernel_sets import COLLECTIVE
from irene.leaves.leaf_model import LeafModel, fit_leaf_model
from irene.measuring.rank_plan import collective_case
from irene.predictor.domain import make_domain
from irene.predictor.training_data import PrimitiveData, gather_primitives, gather_trees
from irene.primitives.collectives import exchange_of

SPEC = load_device("h200")
SLOWER, WATTS = 1.3, 250.0  # of the exchanges that are made up here


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return load_rows(Path(__file__).parents[2] / "data/h200/decode-a")


@pytest.fixture(scope="module")
def both(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, beside exchanges, shared models and an eager exchange."""
    link = find_link("h200")
    assert link is not None
    primitive = rows[rows["level"] == "primitive"].iloc[0].to_dict()
    found = []
    for name in ("all_reduce", "all_gather"):
        for power in range(12, 26):
            for execution in ("cuda_graph", "eager"):
                case = collective_case(name, 2**power, "bfloat16", execution, 2)
                seconds = SLOWER * link.exchange_s(exchange_of(case.case.call)) * (50 if execution == "eager" else 1)
                found.append(
                    primitive
                    | {
                        "case": case.key, "signature": case.case.call.signature, "families": "grid", "method": "window",
                        "execution": execution, "duration_s": seconds, "power_w": 2 * WATTS, "dtype": "bfloat16",
                        "energy_j": 2 * WATTS * seconds, "ranks": 2, "weights": "hot", "reference": False,
                    }
                )  # fmt: skip
    models = rows[rows["level"] == "model"].assign(ranks=2)
    joined = pd.concat([rows, pd.DataFrame(found), models.assign(case=models["case"] + "|2 ranks")], ignore_index=True)
    joined.attrs = dict(rows.attrs)
    return joined


def fit(data: PrimitiveData) -> LeafModel:
    return fit_leaf_model(data.timed, data.timed_s, data.metered, data.metered_s, data.metered_w, data.burst_s, SPEC, 0)


def test_one_gpu_learns_the_same(rows: pd.DataFrame, both: pd.DataFrame) -> None:
    alone, beside = gather_primitives(rows, SPEC), gather_primitives(both, SPEC)
    assert len(gather_trees(both, SPEC)) == len(gather_trees(rows, SPEC))
    exchanges = beside.timed.is_collective
    assert exchanges.sum() == 28 and not alone.timed.is_collective.any()  # the eager ones are left out
    np.testing.assert_allclose(beside.metered_w[beside.metered.is_collective], WATTS)  # of one board
    before, after = fit(alone), fit(beside)
    assert COLLECTIVE not in before.time and COLLECTIVE in after.time and COLLECTIVE in after.dedicated_power
    for name in ("duration_s", "power_w", "slowing"):
        np.testing.assert_array_equal(
            getattr(before.predict(alone.timed), name), getattr(after.predict(alone.timed), name)
        )
    learned = after.predict(beside.timed.take(exchanges))
    np.testing.assert_allclose(learned.power_w, WATTS, rtol=0.05)
    np.testing.assert_allclose(learned.duration_s, beside.timed_s[exchanges], rtol=0.1)
    known = [set(make_domain(data.timed, data.metered).ranges) for data in (alone, beside)]
    assert known[1] - known[0] == {COLLECTIVE}
