"""The two cards that IrEne's data were probably measured on, by their data sheets.

Which cards they are is inferred, not stated in the data: memory clocks of 3,802 and 5,005 MHz are those of a GeForce
GTX 1070 (8 Gbit/s GDDR5) and a GeForce GTX 1080 Ti (11 Gbit/s GDDR5X) while CUDA runs. The board power of device 1 goes
to 200 W, above the 150 W of a reference GTX 1070: a partner's card with a higher limit, or a relative of it. They have
no place among the spec sheets of `irene.hardware`, which are those of cards that this project measured.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WallDevice:
    """A card and the computer around it; rates are float32 peaks at boost clock."""

    name: str
    flop_per_s: float
    bytes_per_s: float
    board_power_w: float
    sm_count: int
    host_power_w: float = 100.0  # what a desktop draws at the wall beside its GPU: assumed, and learned away by ratios

    @property
    def power_w(self) -> float:
        return self.board_power_w + self.host_power_w


# Data sheets: https://www.nvidia.com/en-us/geforce/10-series/ (cores x 2 x boost clock; bandwidth; board power; SMs of
# 128 cores). GTX 1070: 1,920 cores at 1.683 GHz. GTX 1080 Ti: 3,584 cores at 1.582 GHz.
GTX_1070 = WallDevice("gtx-1070", 6.463e12, 256e9, 150.0, 15)
GTX_1080_TI = WallDevice("gtx-1080-ti", 11.340e12, 484e9, 250.0, 28)
