"""The table keeps apart what design and protocol keep apart, and its numbers are the metrics' numbers."""

import numpy as np
import pandas as pd
import pytest

from irene.errors import BadDataset
from irene.evaluation.error_table import WATCHED, tabulate_errors, to_markdown


def judged(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "held_out": "family", "level": "model", "method": "window", "kind": "", "execution": "eager",
        "gpu_utilization_pct": 99.0, "family": "bert", "measured_energy_j": 10.0, "predicted_energy_j": 10.0,
        "measured_duration_s": 1e-3, "predicted_duration_s": 1e-3, "measured_power_w": 1e4, "predicted_power_w": 1e4,
        "watched_energy_j": np.nan, "watched_low_j": np.nan, "watched_high_j": np.nan,
        "low_j": 8.0, "high_j": 12.0, "noise_floor_pct": np.nan, "card_noise_pct": np.nan,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def test_one_row_by_hand() -> None:
    cases = judged(
        family=["bert", "bert", "t5"],
        predicted_energy_j=[11.0, 13.0, 16.0],
        measured_energy_j=[10.0, 10.0, 20.0],
        predicted_duration_s=[1e-3, 1e-3, 4e-3],
        high_j=[12.0, 12.0, 30.0],
        low_j=[8.0, 11.0, 8.0],
        noise_floor_pct=[1.0, 3.0, np.nan],
        power_cap_roofline_j=[5.0, 10.0, 10.0],
        sum_of_leaves_j=[np.nan, 12.0, np.nan],
    )
    energy, time = tabulate_errors(cases).to_dict("records")
    row = {key: value for key, value in energy.items() if not pd.isna(value)}
    assert row == {
        "held_out": "family", "level": "model", "part": "all", "quantity": "energy", "execution": "eager",
        "regime": "GPU-bound", "cases": 3, "families": 2,
        "family_mean_mape_pct": pytest.approx(20.0), "mape_pct": pytest.approx(20.0),
        "median_ape_pct": pytest.approx(20.0), "p90_ape_pct": pytest.approx(28.0),
        "worst_ape_pct": pytest.approx(30.0), "bias_pct": pytest.approx(10.0), "coverage_pct": pytest.approx(200 / 3),
        "noise_floor_pct": 2.0, "noise_floor_pct_cases": 2, "card_noise_pct_cases": 0,
        "power_cap_roofline_j": 37.5, "power_cap_roofline_j_cases": 3, "flop_proportional_j_cases": 0,
        "sum_of_leaves_j": pytest.approx(20.0), "sum_of_leaves_j_cases": 1,
    }  # fmt: skip
    assert (time["quantity"], time["family_mean_mape_pct"]) == ("time", pytest.approx(150.0))
    assert np.isnan(time["coverage_pct"]) and np.isnan(time["power_cap_roofline_j"])


def test_what_is_held_out_levels_executions_and_regimes_are_never_averaged() -> None:
    parts = [
        judged(held_out=held_out, level=level, execution=execution, gpu_utilization_pct=[utilization])
        for held_out in ("family", "reserved family")
        for level in ("model", "module")
        for execution in ("cuda_graph", "eager")
        for utilization in (99.0, 30.0, np.nan)
    ]
    table = tabulate_errors(pd.concat(parts, ignore_index=True))
    keys = [tuple(key) for key in table[["held_out", "level", "quantity", "execution", "regime"]].to_numpy()]
    assert len(keys) == len(set(keys)) == 2 * 2 * 2 * 2 * 3 and set(table["cases"]) == {1}
    assert keys[0] == ("family", "module", "energy", "eager", "GPU-bound")
    assert keys[-1] == ("reserved family", "model", "time", "cuda_graph", "not measured")


def test_primitives_have_energy_from_windows_and_time_from_events() -> None:
    window = judged(
        level="primitive", execution="cuda_graph", predicted_energy_j=[11.0, 12.0], measured_duration_s=[1e-6, 1e-3]
    )
    events = window.assign(method="events", predicted_duration_s=[3e-6, 1e-3], measured_energy_j=np.nan)
    table = tabulate_errors(pd.concat([window, events], ignore_index=True)).set_index(["quantity", "regime"])
    errors = table["mape_pct"].to_dict()
    assert errors["energy", "all"] == pytest.approx(15.0) and errors["energy", "above 20 us"] == pytest.approx(20.0)
    assert errors["time", "all"] == pytest.approx(100.0) and errors["time", "above 20 us"] == pytest.approx(0.0)
    assert set(table["cases"].groupby("regime").max()) == {1, 2} and ("power", "all") in errors


def test_sites_are_shown_part_by_part() -> None:
    cases = judged(
        held_out="site", level="primitive", execution="cuda_graph", kind=["gemm", "attention", "norm", "copy"]
    )
    table = tabulate_errors(cases)
    assert table[table["regime"] == "all"].groupby("part")["cases"].max().to_dict() == {
        "all": 4, "attention": 1, "gemm": 1, "rest": 2,
    }  # fmt: skip


def test_the_border_is_an_extra_row_that_takes_no_case_away() -> None:
    table = tabulate_errors(judged(gpu_utilization_pct=[60.0, 70.0, 84.9, 85.0, 95.0, 96.0]))
    energy = table[table["quantity"] == "energy"].set_index("regime")
    assert energy["cases"].to_dict() == {"GPU-bound": 3, "host-bound": 3, "border 70-95 %": 4}


def test_markdown_shows_every_row_and_says_what_a_number_is_about() -> None:
    cases = judged(
        predicted_energy_j=[11.0, 12.0], noise_floor_pct=[0.5, np.nan], flop_proportional_j=[20.0, 20.0],
        sum_of_leaves_j=[np.nan, np.nan],
    )  # fmt: skip
    text = to_markdown(tabulate_errors(cases))
    lines = text.splitlines()
    assert lines[0].startswith(
        "| held out | level | part | quantity | execution | regime | cases | families | family mean % |"
    )
    assert lines[0].endswith("| FLOP-proportional % | sum of leaves % |")
    assert lines[2].endswith(
        "| GPU-bound | 2 | 1 | 15.0 | 15.0 | 15.0 | 19.0 | 20.0 | 15.0 | 100.0 | 0.5 (1) | - | - | 100.0 | - |"
    )
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 4


def test_missing_columns_no_cases_and_missing_predictions_are_refused() -> None:
    with pytest.raises(BadDataset, match="family, low_j"):
        tabulate_errors(judged(level=["model"]).drop(columns=["low_j", "family"]))
    with pytest.raises(BadDataset, match="No judged cases"):
        tabulate_errors(judged(level=[]))
    with pytest.raises(ValueError, match="finite"):
        tabulate_errors(judged(predicted_energy_j=[np.nan]))


def test_a_watched_run_has_rows_of_its_own() -> None:
    cases = judged(watched_energy_j=[9.0, np.nan], watched_low_j=[8.0, np.nan], watched_high_j=[9.5, np.nan])
    table = tabulate_errors(cases).set_index("quantity")
    row = table.loc[WATCHED]
    assert row["cases"] == 1 and row["mape_pct"] == pytest.approx(10.0) and row["coverage_pct"] == 0.0
    assert table.loc["energy", "cases"] == 2
