"""What must hold of any module: no faster than its roofline, no less than idle power, twice is twice, torch's FLOP."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import irene
from irene.hardware.devices import load_device
from irene.leaves.least_time import least_duration_s
from irene.predictor.prediction import Prediction
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work
from tests.generated_modules import Case, make_case

SPEC = load_device("h200")
# A few in every run; all 200 with IRENE_GENERATED=200 (five minutes).
SEEDS = range(int(os.environ.get("IRENE_GENERATED", "24")))


class Calls(nn.Module):
    """A module called several times with one input."""

    def __init__(self, inner: nn.Module, times: int) -> None:
        super().__init__()
        self.inner, self.times = inner, times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return [self.inner(x) for _ in range(self.times)][-1]


@pytest.fixture(scope="module", params=SEEDS)
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(request.param)


def _predict(case: Case, module: nn.Module, execution: str) -> Prediction:
    dtype = case.x.dtype
    try:
        return irene.predict(module.to(dtype), case.x, execution=execution)
    finally:
        module.to(torch.float32)


@pytest.mark.parametrize("execution", ["eager", "cuda_graph"])
def test_bounds_that_nothing_breaks(case: Case, execution: str) -> None:
    prediction = _predict(case, case.module, execution)
    calls = [node.call for node in prediction.flat.nodes if node.call is not None and kind_of(node.call) != "view"]
    least_s = sum(least_duration_s(call, _dtype_of(case), SPEC) for call in calls)
    assert prediction.duration_s >= least_s * (1 - 1e-9), case.name
    assert prediction.energy_j >= SPEC.idle_power_w * prediction.duration_s * (1 - 1e-9), case.name
    assert prediction.interval_j[0] <= prediction.energy_j <= prediction.interval_j[1]
    if prediction.provenance_shares["fallback"] > 0.99 and execution == "cuda_graph":
        assert prediction.interval_j[1] > 9.0 * prediction.energy_j, case.name


def test_twice_is_twice_in_a_captured_graph(case: Case) -> None:
    once, twice = (_predict(case, Calls(case.module, times), "cuda_graph") for times in (1, 2))
    assert twice.energy_j == pytest.approx(2 * once.energy_j, rel=0.10), case.name
    assert twice.duration_s == pytest.approx(2 * once.duration_s, rel=0.10), case.name


def test_products_are_those_of_torchs_counter(case: Case) -> None:
    """Run on the CPU in float32: what is multiplied does not depend on the dtype."""
    torch._C._set_mkldnn_enabled(False)  # its own kernel for a whole LSTM shows the counter no product
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            case.module(case.twin)
    finally:
        torch._C._set_mkldnn_enabled(True)
    prediction = _predict(case, case.module, "eager")
    products = sum(count_work(node.call).matmul_flop for node in prediction.flat.nodes if node.call is not None)
    assert products == counter.get_total_flops(), case.name


def _dtype_of(case: Case) -> str:
    return str(case.x.dtype).removeprefix("torch.")
