"""What the figures draw: sums that hold at every row, ranges that name every node, points under known roofs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import irene
from irene.predictor.prediction import Prediction
from irene.primitives.kinds import KINDS
from irene.reporting import wording
from irene.reporting.report_data import PARTS, merge_addresses, report_data


@pytest.fixture(params=["prediction", "bert", "captured"])
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    return report_data(request.getfixturevalue(request.param), "name")


def test_the_account_sums_at_every_row(data: dict[str, Any]) -> None:
    for table in (data["rows"], data["layers"], data["kinds"]):
        for index, joules in enumerate(table["energy_j"]):
            assert sum(table[f"{part}_j"][index] for part in PARTS) == pytest.approx(joules, rel=1e-5, abs=1e-12)


def test_children_sum_to_their_row_and_bars_to_the_whole(data: dict[str, Any]) -> None:
    rows = data["rows"]
    below = [0.0] * len(rows["label"])
    for index, above in enumerate(rows["parent"]):
        assert above < index  # parents first
        if above >= 0:
            below[above] += rows["energy_j"][index]
    for index in set(rows["parent"]) - {-1}:
        assert below[index] == pytest.approx(rows["energy_j"][index], rel=1e-5)
    for table in (data["layers"], data["kinds"]):
        assert sum(table["energy_j"]) == pytest.approx(data["energy_j"], rel=1e-5)


def test_columns_have_one_length_and_json_takes_them(data: dict[str, Any]) -> None:
    for name in ("rows", "layers", "kinds"):
        assert len({len(column) for column in data[name].values()}) == 1
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_roofline_points_are_speeds_while_running(bert: Prediction, captured: Prediction) -> None:
    eager, graph = (report_data(case, "")["roofline"] for case in (bert, captured))
    assert set(graph["kind"]) == set(eager["kind"]) >= {"gemm", "attention", "norm"}
    assert max(graph["flop_per_s"]) < graph["peak_flop_per_s"]
    # Waiting for the host is left out, so the same kernel is as fast in both.
    rates = [dict(zip(one["intensity"], one["flop_per_s"], strict=True)) for one in (eager, graph)]
    gemm = max(rates[0])
    assert rates[0][gemm] == pytest.approx(rates[1][gemm], rel=0.25)
    assert 0.5 < eager["shown_share"] <= 1


def test_ranges_name_every_call() -> None:
    assert merge_addresses(["h.0.mlp/linear#0", "h.1.mlp/linear#0", "h.2.mlp/linear#0"]) == "h.0-2.mlp/linear#0"
    assert merge_addresses(["a@0.x", "a@11.x"]) == "a@0-11.x"
    assert merge_addresses(["layers.9.w", "layers.10.w"]) == "layers.9-10.w"


@pytest.mark.filterwarnings("ignore:.* do not fit into:UserWarning")
def test_a_model_of_ten_thousand_calls_is_a_few_hundred_rows() -> None:
    llama = irene.predict("meta-llama/Llama-3.1-405B", seq_len=2048)
    assert len(llama.flat) > 9_000
    data = report_data(llama, "Llama")
    assert len(data["rows"]["label"]) < 300
    assert len(data["layers"]["label"]) >= 126
    assert len(json.dumps(data)) < 100_000


def test_every_kind_part_and_bound_has_words() -> None:
    from irene.predictor.node_values import BOUNDS, PROVENANCES

    assert set(wording.KINDS) == set(KINDS)
    assert set(wording.BOUNDS) == set(BOUNDS) - {""}
    assert set(wording.PROVENANCES) == set(PROVENANCES)
