"""What limits a node: one case for each word, at its border."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.predictor.bounds import name_bounds

SPEC = load_device("h200")
IDLE_W, CAP_W = SPEC.context_idle_power_w, SPEC.power_cap_w


@pytest.mark.parametrize(
    ("power_w", "wait_share", "compute_share", "bound"),
    [
        (0.93 * CAP_W, 0.0, 0.9, "power_bound"),
        (0.91 * CAP_W, 0.0, 0.9, "compute_bound"),
        (300.0, 0.14, 0.1, "memory_bound"),
        (300.0, 0.16, 0.1, "host_bound"),
        (0.93 * CAP_W, 0.16, 0.9, "host_bound"),
    ],
)
def test_bounds(power_w: float, wait_share: float, compute_share: float, bound: str) -> None:
    duration_s = 2.0
    waiting_j = wait_share * duration_s * IDLE_W
    dynamic_j = power_w * duration_s - waiting_j
    parts = {"launch_gap": waiting_j, "compute": compute_share * dynamic_j, "memory": (1 - compute_share) * dynamic_j}
    arrays = {name: np.array([joules, 0.0]) for name, joules in parts.items()}
    named = name_bounds(SPEC, np.array([power_w * duration_s, 0.0]), np.array([duration_s, 0.0]), arrays)
    assert named == [bound, ""]  # the second node takes no time
