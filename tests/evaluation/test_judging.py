"""Cases are judged once, by medians; predictor and baselines saw training rows alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from irene.evaluation.judging import judge
from irene.hardware.devices import load_device
from irene.primitives.call import Call, TensorSpec
from tests.evaluation.made_rows import Constant, frame, gelu, linear, model_row, primitive_row

SPEC = load_device("h200")


def test_medians_of_repeats_then_of_collections() -> None:
    call = linear(8, 8, 8)
    energies = [("c", 0, 1.0), ("c", 1, 2.0), ("c", 2, 9.0), ("d", 0, 4.0)]
    rows = frame(*(primitive_row(call, "bert", e, repeat=r, collection=c) for c, r, e in energies))
    (case,) = judge(Constant(), rows, rows, SPEC).to_dict("records")
    assert case["measured_energy_j"] == 3.0 and case["predicted_energy_j"] == 1.0  # c: 2 J, d: 4 J
    assert case["kind"] == "gemm" and case["flop"] == 1024 and case["runs"] == 3
    assert (case["low_j"], case["high_j"], case["inside_share"]) == (0.5, 2.0, 0.5)  # c lies inside, d does not


def test_every_level_gets_its_own_prediction() -> None:
    rows = frame(
        model_row([gelu(8), gelu(9)], "bert", 5.0, duration_s=2e-3),
        primitive_row(gelu(8), "bert", 3.0, weights="cold"),
        primitive_row(gelu(8), "bert", None, duration_s=7e-3),
        model_row([gelu(8)], "reference", 1.0, case="r", reference=True),
    )
    judged = judge(Constant(), rows, rows, SPEC).set_index(["level", "method"])
    assert len(judged) == 3  # no reference call
    model = judged.loc[("model", "window")]
    assert (model.predicted_energy_j, model.sum_of_leaves_j, model.low_j, model.high_j) == pytest.approx(
        (2.5, 2, 2.25, 2.75)
    )
    assert (model.predicted_bound, model.predicted_wait_j) == ("host_bound", 0.25)
    assert model.predicted_power_w == pytest.approx(2.5 / 4e-3) and model.measured_power_w == pytest.approx(2500)
    window, events = judged.loc[("primitive", "window")], judged.loc[("primitive", "events")]
    assert (window.low_j, window.high_j, window.weights) == (0.5, 2.0, "cold") and np.isnan(window.sum_of_leaves_j)
    assert (
        np.isnan(events.measured_energy_j)
        and np.isnan(events.inside_share)
        and events.measured_duration_s == 7e-3
        and events.predicted_duration_s == 2e-3
    )


def test_calls_that_launch_nothing_have_no_time_to_judge() -> None:
    x = TensorSpec((8,), (1,), "bfloat16")
    view = Call("aten.view.default", (x, (8,)), (), (x,), is_view=True)
    rows = frame(primitive_row(view, "bert", None, duration_s=3e-8), primitive_row(gelu(8), "bert", None))
    assert judge(Constant(), rows, rows, SPEC)["name"].tolist() == ["gelu"]


def test_events_are_compared_with_the_burst_time_windows_with_the_sustained_one() -> None:
    class Capped(Constant):
        def predict_primitives(self, calls: Any, dtypes: Any, weights: Any) -> Any:
            leaves = super().predict_primitives(calls, dtypes, weights)
            leaves.burst_s = 0.5 * leaves.duration_s
            return leaves

    rows = frame(primitive_row(gelu(8), "bert", 1.0), primitive_row(gelu(8), "bert", None))
    judged = judge(Capped(), rows, rows, SPEC).set_index("method")["predicted_duration_s"]
    assert judged.to_dict() == {"window": 2e-3, "events": 1e-3}


def test_baselines_learn_from_training_rows_alone() -> None:
    call = linear(8, 8, 8)
    rows = frame(primitive_row(call, "bert", 5.0))
    train = frame(primitive_row(call, "gpt2", 3.0))
    (case,) = judge(Constant(), rows, train, SPEC).to_dict("records")
    assert case["flop_proportional_j"] == pytest.approx(3.0)
    assert case["power_cap_roofline_j"] == pytest.approx(700 * case["roofline_s"])
    assert pd.isna(judge(Constant(), rows, train.iloc[:0], SPEC)["flop_proportional_j"]).all()


def test_only_a_prediction_of_a_watched_run_knows_how_routers_dealt() -> None:
    """The loads of a case are the median over its collections, of those that noted them."""
    asked: list[Any] = []

    class Listening(Constant):
        def predict(self, tree: Any, run: Any = None) -> Any:
            asked.append(run)
            return super().predict(tree, run)

    routed = [{"busy_experts_pct": 40.0, "expert_load_deviation": 2.0}, {}, {"busy_experts_pct": 50.0}]
    routed[2]["expert_load_deviation"] = 1.0
    rows = frame(
        *(
            model_row([gelu(8)], "bert", 5.0, sm_clock_hz=1.98e9, collection=name, **loads)
            for name, loads in zip("cde", routed, strict=True)
        )
    )
    judge(Listening(), rows, rows, SPEC)
    unwatched, watched = asked
    assert unwatched is None
    assert (watched.busy_experts_pct, watched.expert_load_deviation) == (45.0, 1.5)
