"""Random calls of what backbones of images do beside convolutions, and of two kernels that surprise in other models.

Batch norms in evaluation, pools, norms over few groups, resizing, depthwise convolutions in float16 (which another
library computes); scans down columns, as routers count with, and attention over heads whose channels lie far apart.
"""

from __future__ import annotations

import random
from typing import Any

import torch

from irene.measuring.programs import on_meta, record_module, record_program
from irene.measuring.random_shapes import draw
from irene.primitives.call import Call


def images(channels: int, side: int, dtype: str, rng: random.Random) -> tuple[torch.Tensor, torch.memory_format]:
    """A batch of images of up to some hundred megabytes, in one of the two layouts."""
    layout = rng.choice((torch.contiguous_format, torch.channels_last))
    batch = min(draw(rng, 1, 128), max(1, int(1e8) // (channels * side * side)))
    return on_meta((batch, channels, side, side), dtype).to(memory_format=layout), layout


def _side(rng: random.Random) -> int:
    return rng.choice((7, 14, 28, 56, 112, draw(rng, 6, 160)))


def _module(module: torch.nn.Module, dtype: str, *inputs: torch.Tensor) -> list[Call]:
    return record_module(module.eval().to(getattr(torch, dtype)), inputs)


def batch_norms(dtype: str, rng: random.Random) -> list[Call]:
    """In evaluation, of images in both layouts and along time."""
    channels, side = draw(rng, 16, 2048, 8), _side(rng)
    x, _ = images(channels, side, dtype, rng)
    with torch.device("meta"):
        of_images, of_time = torch.nn.BatchNorm2d(channels), torch.nn.BatchNorm1d(channels)
    return [*_module(of_images, dtype, x), *_module(of_time, dtype, x[:, :, 0])]


def pools(dtype: str, rng: random.Random) -> list[Call]:
    """Largest and mean of small windows, and of whole images."""
    channels, side, taps = draw(rng, 16, 2048, 8), max(_side(rng), 8), rng.choice((2, 3, 3, 7))
    x, _ = images(channels, side, dtype, rng)
    stride, side_out = rng.choice((1, 2, taps)), rng.choice((1, 1, 7))
    pool = torch.nn.functional
    return [
        *record_program(lambda x: pool.max_pool2d(x, taps, stride, taps // 2), [x]),
        *record_program(lambda x: pool.avg_pool2d(x, taps, stride, taps // 2), [x]),
        *record_program(lambda x: pool.adaptive_avg_pool2d(x, side_out), [x]),
        *record_program(lambda x: x.mean((2, 3)), [x]),
    ]


def group_norms(dtype: str, rng: random.Random) -> list[Call]:
    """Over one group, as of PoolFormer, over 32, as of diffusion models, and a channel each."""
    groups = rng.choice((1, 1, 8, 32, 32))
    channels = groups * draw(rng, 4, max(4, 1024 // groups), 4)
    x, _ = images(channels, _side(rng), dtype, rng)
    with torch.device("meta"):
        norms = torch.nn.GroupNorm(groups, channels), torch.nn.InstanceNorm2d(channels, affine=True)
    return [call for norm in norms for call in _module(norm, dtype, x)]


def resizes(dtype: str, rng: random.Random) -> list[Call]:
    """Two or four times as wide, by the nearest element, between elements, or out of the channels."""
    channels, side = draw(rng, 8, 512, 8), draw(rng, 7, 64)
    x, _ = images(channels, side, dtype, rng)
    x = x[: max(1, x.shape[0] // 4)]
    scale = rng.choice((2.0, 2.0, 4.0))
    resize = torch.nn.functional.interpolate
    return [
        *record_program(lambda x: resize(x, scale_factor=scale, mode="nearest"), [x]),
        *record_program(lambda x: resize(x, scale_factor=scale, mode="bilinear", align_corners=False), [x]),
        *record_program(lambda x: torch.nn.functional.pixel_shuffle(x, 2), [x[:, : channels // 4 * 4]]),
    ]


def library_depthwise(dtype: str, rng: random.Random) -> list[Call]:
    """Depthwise convolutions of few taps, mostly as torch gives them to the library in float16."""
    channels, side = draw(rng, 32, 2048, 8), max(_side(rng), 7)
    taps, stride = rng.choice((3, 3, 5, 5, 1)), rng.choice((1, 1, 1, 2))
    x, _ = images(channels, side, dtype, rng)
    x = x.contiguous()
    with torch.device("meta"):
        conv = torch.nn.Conv2d(channels, channels, taps, stride, taps // 2, groups=channels, bias=rng.random() < 0.5)
    return _module(conv, dtype, x)


def plain_images(dtype: str, rng: random.Random) -> list[Call]:
    """Dense convolutions as backbones have them: of one tap half of the time, of windows that overlap, some strided."""
    channels, wide, side = draw(rng, 16, 1536, 8), draw(rng, 16, 1536, 8), _side(rng)
    taps, stride = rng.choice((1, 1, 1, 3, 3, 5, 7)), rng.choice((1, 1, 1, 2))
    x, layout = images(rng.choice((channels, channels, channels, 3)), side, dtype, rng)
    with torch.device("meta"):
        conv = torch.nn.Conv2d(x.shape[1], wide, taps, stride, taps // 2, bias=rng.random() < 0.3)
    laid: Any = conv.to(memory_format=layout)  # type: ignore[call-overload]
    return _module(laid, dtype, x)


def scans(dtype: str, rng: random.Random) -> list[Call]:
    """Places of tokens in their experts' buffers, counted down the columns of a mask; and the same along rows."""
    tokens, experts = draw(rng, 64, 32768), rng.choice((4, 8, 16, 32, 64, 128))
    mask = torch.empty((tokens, experts), dtype=rng.choice((torch.int64, torch.int32, torch.float32)), device="meta")
    batch, steps, width = draw(rng, 1, 32), draw(rng, 16, 2048), draw(rng, 16, 2048, 8)
    states = on_meta((min(batch, max(1, int(5e7) // (steps * width))), steps, width), dtype)
    return [
        *record_program(lambda m: torch.cumsum(m, 0), [mask]),
        *record_program(lambda m: torch.cumsum(m, -1), [mask]),
        *record_program(lambda s: torch.cumsum(s, 1), [states]),
    ]


def far_attention(dtype: str, rng: random.Random) -> list[Call]:
    """Heads whose channels lie far apart: outputs of products with transposed results, or of convolutions."""
    batch, heads, steps = draw(rng, 1, 64), rng.choice((4, 8, 12, 16)), draw(rng, 16, 1024)
    size: int = rng.choice((32, 64, 64, 128))
    batch = min(batch, max(1, int(2e8) // (heads * steps * steps)))
    far: Any = on_meta((heads * size, batch * steps), dtype).t().view(batch, steps, heads, size).transpose(1, 2)
    return record_program(torch.nn.functional.scaled_dot_product_attention, [far, far, far])


IMAGE_SORTS = {
    "batch_norms": batch_norms, "pools": pools, "group_norms": group_norms, "resizes": resizes,
    "library_depthwise": library_depthwise, "plain_images": plain_images, "scans": scans,
    "far_attention": far_attention,
}  # fmt: skip
"""What a plan's [harvest.uncommon] table may ask for, beside the sorts of irene.measuring.uncommon_shapes."""
