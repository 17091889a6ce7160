"""Spec sheets are strict and sourced; the roofline is a lower bound that moves the right way."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput, UnknownName
from irene.hardware import (
    bound_of,
    known_dtypes,
    list_devices,
    load_device,
    memory_s,
    read_spec,
    ridge_flop_per_byte,
    roofline_array_s,
    roofline_s,
)
from irene.hardware.spec import _SPECS
from irene.primitives import Work

H200 = load_device("h200")
TEXT = (_SPECS / "h200.toml").read_text(encoding="utf-8")
MEASURED = "measured by this project, protocol, 2026-11-22"
counts = st.integers(0, 10**15)


@pytest.mark.parametrize("name", list_devices())
def test_every_number_has_a_source(name):
    device = load_device(name)
    texts = {"name", "title", "vendor", "architecture", "peaks", "citations"}
    peaks = {f"peak_flop_per_s.{dtype}" for dtype in device.peak_flop_per_s}
    assert set(device.sources) == {f.name for f in fields(device)} - texts | peaks
    assert all("http" in source or "measured" in source or "driver" in source for source in device.sources.values())
    assert device.name == name


def test_h200():
    assert (H200.sm_count, H200.power_cap_w, H200.hbm_bytes_per_s, H200.l2_bytes) == (132, 700, 4.8e12, 60 * 2**20)
    assert H200.idle_power_w < H200.context_idle_power_w < H200.power_cap_w
    assert H200.peak("float32") < H200.peak("tf32") < H200.peak("bfloat16") == H200.peak("float16")
    # 132 SMs x 4 tensor cores x 512 multiply-adds x 1.83 GHz, and 128 CUDA cores an SM at 1.98 GHz
    assert H200.peak("bfloat16") == pytest.approx(132 * 4 * 512 * 2 * 1.83e9, rel=1e-3)
    assert H200.vector_flop_per_s == pytest.approx(132 * 128 * 2 * H200.max_sm_clock_hz, rel=1e-3)
    assert isinstance(H200.sm_count, int) and isinstance(H200.l2_bytes, int)
    assert {"bfloat16", "float16", "float32", "tf32"} <= set(known_dtypes())


def test_a_spec_is_a_value():
    assert pickle.loads(pickle.dumps(H200)) == H200 == load_device("NVIDIA H200")
    assert hash(pickle.loads(pickle.dumps(H200))) == hash(H200)
    with pytest.raises(FrozenInstanceError):
        H200.power_cap_w = 1  # type: ignore[misc]


def test_unknown_names_say_what_is_known():
    with pytest.raises(UnknownName, match="Unknown device 'h20'. Did you mean 'h200'?"):
        load_device("h20")
    with pytest.raises(UnknownName, match="Unknown dtype 'bfloat'. Did you mean 'bfloat16'?"):
        H200.peak("bfloat")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[sm_count]", "[sm_counts]", "unknown key.*sm_counts"),
        ('vendor = "NVIDIA"', "", "missing key.*vendor"),
        ('vendor = "NVIDIA"', "vendor = 3", "'vendor' must be a text"),
        ("value = 132", "value = 132.5", "'sm_count' must be a whole number"),
        ("value = 4.8e12", "value = -4.8e12", "'hbm_bytes_per_s' must be a positive number"),
        ("value = 4.8e12", 'value = "4.8e12"', "'hbm_bytes_per_s' must be a positive number"),
        ("value = 4.8e12", "value = nan", "'hbm_bytes_per_s' must be a positive number"),
        ("value = 80\nsource", "value = 80\nsauce", "unknown key.*sauce"),
        (f'value = 80\nsource = "{MEASURED}"', "value = 80", "missing key.*source"),
        (f'value = 80\nsource = "{MEASURED}"', 'value = 80\nsource = ""', "needs a source"),
        ("value = 132", "value =", "not valid TOML"),
    ],
)
def test_a_bad_sheet_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(BadInput, match=message):
        read_spec(TEXT.replace(old, new), "h200.toml")


@given(flop=counts, bytes_=counts, more=counts)
def test_roofline_is_monotone_and_bounded(flop, bytes_, more):
    work = Work(flop, flop, bytes_, 0, 0)
    time_s = roofline_s(work, "bfloat16", H200)
    assert time_s >= memory_s(work, H200)
    assert roofline_s(work + Work(more, more), "bfloat16", H200) >= time_s
    assert roofline_s(work + Work(read_bytes=more), "bfloat16", H200) >= time_s
    assert roofline_s(work, "float32", H200) >= roofline_s(work, "tf32", H200) >= time_s
    assert roofline_s(Work(flop, 0, bytes_), "bfloat16", H200) >= time_s  # CUDA cores are slower than tensor cores


@given(st.lists(st.tuples(counts, counts, counts), min_size=1, max_size=8))
def test_arrays_agree_with_scalars(rows):
    matmul, vector, traffic = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    expected = [roofline_s(Work(m + v, m, t), "tf32", H200) for m, v, t in rows]
    np.testing.assert_allclose(roofline_array_s(matmul, vector, traffic, "tf32", H200), expected)


def test_the_ridge_divides_the_two_bounds():
    ridge = ridge_flop_per_byte("bfloat16", H200)
    bytes_ = 10**9
    below, above = int(ridge * bytes_ * 0.99), int(ridge * bytes_ * 1.01)
    assert bound_of(Work(below, below, bytes_), "bfloat16", H200) == "memory_bound"
    assert bound_of(Work(above, above, bytes_), "bfloat16", H200) == "compute_bound"
    assert bound_of(Work(), "bfloat16", H200) == "memory_bound"
    additions = Work(10**9)  # no product: no peak is asked for
    assert roofline_s(additions, "int64", H200) == 1e9 / H200.vector_flop_per_s
    with pytest.raises(UnknownName):
        roofline_s(Work(1, 1), "int64", H200)
