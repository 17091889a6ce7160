import pytest

from irene.errors import BadInput
from irene.hardware.devices import list_devices, load_device
from irene.hardware.system import find_link, load_system, read_system
from irene.primitives.collectives import Exchange

SHEET = """
name = "pair"
title = "Two of mine: by a wire"
devices = ["mine"]
library = "nccl"
most_gpus = { value = 2, source = "counted" }
link_bytes_per_s = { value = 1e9, source = "a datasheet" }
"""


def test_every_system_is_of_devices_that_have_sheets() -> None:
    linked = [name for name in list_devices() if find_link(name)]
    assert {"h200", "h100-sxm", "a100-sxm-80gb", "b200-sxm"} <= set(linked)
    for name in linked:
        link = find_link(name)
        assert link is not None and all(source for _, source in link.citations)
        assert link.bus_bytes_per_s < link.line_bytes_per_s < load_device(name).hbm_bytes_per_s


def test_nvlink_4_is_half_of_the_datasheet_a_direction() -> None:
    link = find_link("h200")
    assert link is not None and 2 * link.line_bytes_per_s == 900e9


def test_one_gpu_needs_no_link_and_more_than_a_host_are_refused() -> None:
    assert load_system(load_device("l4")).link is None
    for device, gpus, reason in (("l4", 2, "no link|No link"), ("h200", 9, "at most 8")):
        with pytest.raises(BadInput, match=reason):
            load_system(load_device(device), gpus)


def test_large_exchanges_go_by_bandwidth_and_small_ones_by_steps() -> None:
    link = find_link("h200")
    assert link is not None

    def seconds(payload: int, ranks: int) -> float:
        return link.exchange_s(Exchange("all_reduce", ranks, payload, 2 * (ranks - 1) / ranks * payload, 2 * ranks - 2))

    assert 2**30 / seconds(2**30, 2) == pytest.approx(link.bus_bytes_per_s, rel=0.02)
    assert seconds(1024, 8) > 1.5 * seconds(1024, 2) > 0
    sizes = [seconds(2**power, 4) for power in range(10, 30)]
    assert sizes == sorted(sizes)


def test_a_sheet_is_read_strictly() -> None:
    devices, link = read_system(SHEET)
    assert devices == ("mine",) and link.line_bytes_per_s == 1e9
    for old, new in (("1e9", "-1"), ("1e9", "true"), ('"a datasheet"', '""'), ("devices", "device"), ("nccl", "mpi")):
        with pytest.raises(BadInput, match="no system of several GPUs"):
            read_system(SHEET.replace(old, new))
