"""Spec sheets are strict and sourced; the roofline is a lower bound that moves the right way."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput, UnknownName
from irene.hardware import (
    bound_of,
    list_devices,
    load_device,
    memory_s,
    read_spec,
    ridge_flop_per_byte,
    roofline_s,
)
from irene.hardware.devices import _SPECS, _aliases
from irene.primitives import Work

H200 = load_device("h200")
TEXT = (_SPECS / "h200.toml").read_text(encoding="utf-8")
MEASURED = "measured by this project, protocol, 2026-11-22"
counts = st.integers(0, 10**15)


@pytest.mark.parametrize("name", list_devices())
def test_every_number_has_a_source(name):
    device = load_device(name)
    texts = {
        "name",
        "title",
        "vendor",
        "architecture",
        "process",
        "memory_kind",
        "kernel_library",
        "driver_names",
        "peaks",
        "citations",
    }
    peaks = {f"peak_flop_per_s.{dtype}" for dtype in device.peak_flop_per_s}
    assert set(device.sources) == {f.name for f in fields(device)} - texts | peaks
    ways = ("http", "measured", "driver", "datasheet", "unverified")
    assert all(any(way in source for way in ways) for source in device.sources.values())
    assert device.name == name and device.library.name == device.kernel_library
    assert device.peak("float16") >= device.peak("float32") == device.vector_flop_per_s


def test_h200():
    assert (H200.sm_count, H200.power_cap_w, H200.hbm_bytes_per_s, H200.l2_bytes) == (132, 700, 4.8e12, 60 * 2**20)
    assert H200.idle_power_w < H200.context_idle_power_w < H200.power_cap_w
    assert H200.peak("float32") < H200.peak("tf32") < H200.peak("bfloat16") == H200.peak("float16")
    # 132 SMs x 4 tensor cores x 512 multiply-adds x 1.83 GHz, and 128 CUDA cores an SM at 1.98 GHz
    assert H200.peak("bfloat16") == pytest.approx(132 * 4 * 512 * 2 * 1.83e9, rel=1e-3)
    assert H200.vector_flop_per_s == pytest.approx(132 * 128 * 2 * H200.max_sm_clock_hz, rel=1e-3)
    assert isinstance(H200.sm_count, int) and isinstance(H200.l2_bytes, int)


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


def test_a_word_that_means_several_devices_asks_which():
    with pytest.raises(BadInput, match="'H100' may mean several devices: choose one of h100-sxm, h100-pcie"):
        load_device("H100")
    assert load_device("4090").name == "rtx-4090" and load_device("Tesla T4").name == "t4"  # a driver's name


@pytest.mark.parametrize(("word", "devices"), _aliases().items())
def test_a_word_leads_to_devices_and_is_none(word, devices):
    assert set(devices) <= set(list_devices()) and word not in list_devices()


@pytest.mark.parametrize("name", ["v100-sxm2-32gb", "t4"])
def test_a_dtype_that_a_device_lacks_is_refused_by_name(name):
    with pytest.raises(UnknownName, match=f"Unknown dtype 'bfloat16'.*on {name}: float16, float32"):
        load_device(name).peak("bfloat16")


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
        ("value = 132", f"value = {'1' * 5000}", "not valid TOML"),
        ("value = 132", f"value = {'[' * 5000}", "not valid TOML"),
        ("value = 4.8e12", "value = 4800", "'hbm_bytes_per_s' must be from 1e\\+09 to 1e\\+14 in SI units, got 4800"),
        ("value = 700", "value = 90", "'context_idle_power_w' < 'power_cap_w'"),
        ('"TSMC 4N"', '"4 nm"', "'process' must be one of .*TSMC 4N.*got '4 nm'"),
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
