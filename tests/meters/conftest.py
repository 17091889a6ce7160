"""A driver that is none, for the meters that ask for it."""

from __future__ import annotations

import sys

import pytest

from tests.meters.fake_nvml import make_nvml


@pytest.fixture
def use_nvml(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def use(**overrides):
        nvml = make_nvml(**overrides)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return use
