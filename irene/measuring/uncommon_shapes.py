"""Random calls of layers that language models lack: convolutions in groups, windows, transforms, recurrence, sums.

Recorded from torch's own modules, so that layouts and arguments are those of real models: depthwise convolutions of
ConvNeXt and MobileNet (images, both layouts) and of Conformer and Nystromformer (along time), grouped ones of ResNeXt,
windows of Swin, the dynamic convolution of ConvBERT, iterated inverses of Nystromformer, mixing by Fourier of FNet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch

from irene.measuring.image_shapes import IMAGE_SORTS, images, library_depthwise
from irene.measuring.programs import on_meta, record_module, record_program
from irene.measuring.random_shapes import DTYPE_SHARES, Drawn, draw, draw_mode
from irene.primitives.call import Call

_MOST_ELEMENTS = 3e8  # of the largest tensor
# In other dtypes torch's own kernels take them, of which `depthwise_images` has many.
_SHARES_OF: dict[Callable[[str, random.Random], list[Call]], dict[str, int]] = {
    library_depthwise: {"float16": 80, "bfloat16": 20}
}


def uncommon_calls(settings: dict[str, Any], rng: random.Random) -> Iterator[Drawn]:
    """The calls of a plan's [harvest.uncommon] table: how many of each sort."""
    for name, generate in _SORTS.items():
        yield from islice(_in_modes(generate, rng), int(settings.get(name, 0)))


def _in_modes(generate: Callable[[str, random.Random], list[Call]], rng: random.Random) -> Iterator[Drawn]:
    while True:
        mode, dtype = draw_mode(_SHARES_OF.get(generate, DTYPE_SHARES), rng)
        for call in generate(dtype, rng):
            if max(spec.numel for spec in (*call.tensors, *call.outputs)) <= _MOST_ELEMENTS:
                yield call, "float32" if generate is _fourier else mode


def _module(module: torch.nn.Module, dtype: str, *inputs: torch.Tensor) -> list[Call]:
    return record_module(module.to(getattr(torch, dtype)), inputs)


def _laid(module: torch.nn.Module, layout: torch.memory_format) -> torch.nn.Module:
    made: torch.nn.Module = module.to(memory_format=layout)  # type: ignore[call-overload]
    return made


def _depthwise_images(dtype: str, rng: random.Random) -> list[Call]:
    channels, side = draw(rng, 16, 2048, 8), rng.choice((7, 14, 28, 56, 112, draw(rng, 6, 160)))
    taps, stride = rng.choice((3, 3, 5, 7, 7, 9, 11, 13, 21, 31)), rng.choice((1, 1, 1, 2))
    x, layout = images(channels, side, dtype, rng)
    with torch.device("meta"):
        conv = torch.nn.Conv2d(channels, channels, taps, stride, taps // 2, groups=channels, bias=rng.random() < 0.5)
    return _module(_laid(conv, layout), dtype, x)


def _grouped_images(dtype: str, rng: random.Random) -> list[Call]:
    groups, width = rng.choice((2, 4, 8, 16, 32, 32)), draw(rng, 4, 128, 4)
    side, taps, stride = draw(rng, 7, 112), rng.choice((1, 3, 3, 5)), rng.choice((1, 1, 2))
    x, layout = images(groups * width, side, dtype, rng)
    with torch.device("meta"):
        conv = torch.nn.Conv2d(groups * width, groups * width, taps, stride, taps // 2, groups=groups, bias=False)
    return _module(_laid(conv, layout), dtype, x)


def _depthwise_time(dtype: str, rng: random.Random) -> list[Call]:
    channels, steps, taps = draw(rng, 64, 4096, 8), draw(rng, 16, 8192), rng.choice((3, 4, 5, 7, 9, 15, 31, 32, 63))
    batch = min(draw(rng, 1, 64), max(1, int(5e7) // (channels * steps)))
    padding = taps - 1 if rng.random() < 0.4 else taps // 2  # causal, or the same on both sides
    with torch.device("meta"):
        conv = torch.nn.Conv1d(channels, channels, taps, padding=padding, groups=channels, bias=rng.random() < 0.5)
    if rng.random() < 0.5:
        return _module(conv, dtype, on_meta((batch, channels, steps), dtype))
    return _module(conv, dtype, on_meta((batch, steps, channels), dtype).transpose(1, 2))


def _depthwise_heads(dtype: str, rng: random.Random) -> list[Call]:
    """Values of each head convolved along the sequence: groups are heads, kernels are columns."""
    heads, steps, head_size = rng.choice((4, 8, 12, 16)), draw(rng, 64, 4096), rng.choice((32, 64, 64, 128))
    batch, taps = min(draw(rng, 1, 32), max(1, int(5e7) // (heads * steps * head_size))), rng.choice((9, 33, 65))
    with torch.device("meta"):
        conv = torch.nn.Conv2d(heads, heads, (taps, 1), padding=(taps // 2, 0), groups=heads, bias=False)
    values = on_meta((batch, steps, heads, head_size), dtype).transpose(1, 2)
    return _module(conv, dtype, values)


def _windows(dtype: str, rng: random.Random) -> list[Call]:
    """Sliding windows copied out, images rolled, patches cut."""
    channels, side, taps = draw(rng, 16, 512, 8), draw(rng, 14, 112), rng.choice((3, 3, 5, 7))
    x, _ = images(channels, side, dtype, rng)
    x = x[: max(1, int(1e8) // (channels * side * side * taps * taps))].contiguous()
    sequence = on_meta((x.shape[0], side * side, channels), dtype)
    shift = rng.choice((-3, -2, 3, 4))
    unfold = torch.nn.functional.unfold
    return [
        *record_program(lambda x: unfold(x, taps, padding=taps // 2), [x]),
        *record_program(lambda x: x.unfold(1, 2 * taps, taps).contiguous(), [sequence]),
        *record_program(lambda x: torch.roll(x, (shift, shift), (1, 2)), [x.permute(0, 2, 3, 1).contiguous()]),
        *record_program(lambda x: torch.roll(x, shift, 1), [sequence]),
    ]


def _dynamic_convolution(dtype: str, rng: random.Random) -> list[Call]:
    """Kernels made from each position, softmaxed, and multiplied with the window around it (ConvBERT, LightConv)."""
    heads, head_size, taps = rng.choice((4, 6, 8, 12)), rng.choice((32, 64, 64)), rng.choice((3, 5, 7, 9, 9, 15))
    steps = draw(rng, 16, 1024)
    batch = min(draw(rng, 1, 64), max(1, int(1e8) // (heads * head_size * taps * steps)))
    kernels = on_meta((batch, steps, heads * taps), dtype)
    values = on_meta((batch, steps, heads * head_size), dtype)
    return record_program(_convolve_dynamically, [kernels, values, heads, taps])


def _convolve_dynamically(kernels: torch.Tensor, values: torch.Tensor, heads: int, taps: int) -> torch.Tensor:
    kernels = torch.softmax(kernels.reshape(-1, taps, 1), dim=1)
    columns = values.transpose(1, 2).contiguous().unsqueeze(-1)
    windows = torch.nn.functional.unfold(columns, (taps, 1), padding=((taps - 1) // 2, 0))
    windows = windows.transpose(1, 2).reshape(values.shape[0], values.shape[1], -1, taps)
    return torch.matmul(windows.reshape(-1, values.shape[-1] // heads, taps), kernels)


def _chains(dtype: str, rng: random.Random) -> list[Call]:
    """An iteration of the inverse of small matrices, and products of as many small matrices as there are tokens."""
    size, heads, batch = (
        rng.choice((16, 20, 32, 48, 64, 64, 96, 128, 256)),
        rng.choice((4, 8, 12, 16)),
        draw(rng, 1, 64),
    )
    keys, value = on_meta((batch, heads, size, size), dtype), on_meta((batch, heads, size, size), dtype)
    identity, tokens, side = on_meta((size, size), dtype), draw(rng, 16, 512), rng.choice((20, 24, 28, 32))
    matrices = on_meta((batch, tokens, side, side), dtype)
    return [
        *record_program(_iterate_inverse, [keys, value, identity]),
        *record_program(lambda m: torch.bmm(m[:, 0], m[:, 1]), [matrices]),
        *record_program(lambda m: torch.matmul(m[:, 0::2], m[:, 1::2]), [matrices[:, : tokens // 2 * 2]]),
    ]


def _iterate_inverse(keys: torch.Tensor, value: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    product = torch.matmul(keys, value)
    inner = 15 * identity - torch.matmul(product, 7 * identity - product)
    return torch.matmul(0.25 * value, 13 * identity - torch.matmul(product, inner))


def _fourier(dtype: str, rng: random.Random) -> list[Call]:
    """Transforms over the last dimension, or the last two, in float32: torch has no other on a GPU for most lengths."""
    steps, width = draw(rng, 16, 4096), rng.choice((256, 512, 768, 1024, draw(rng, 64, 4096)))
    batch = min(draw(rng, 1, 64), max(1, int(5e7) // (steps * width)))
    x = on_meta((batch, steps, width), "float32")
    return [
        *record_program(lambda x: torch.fft.fftn(x, dim=(1, 2)).real.contiguous(), [x]),
        *record_program(torch.fft.rfft, [x]),
        *record_program(lambda x: torch.fft.rfft2(x, dim=(1, 2), norm="ortho"), [x]),
        *record_program(torch.fft.irfft, [on_meta((batch, steps, width // 2 + 1), "complex64")]),
        *record_program(torch.fft.fft, [on_meta((batch, steps, width), "complex64")]),
    ]


def _recurrent(dtype: str, rng: random.Random) -> list[Call]:
    width, hidden, layers = draw(rng, 64, 1024, 32), draw(rng, 64, 1024, 32), rng.choice((1, 1, 2))
    batch, steps, make = draw(rng, 1, 128), draw(rng, 8, 512), rng.choice((torch.nn.LSTM, torch.nn.GRU))
    with torch.device("meta"):
        module = make(width, hidden, layers, batch_first=rng.random() < 0.7, bidirectional=rng.random() < 0.4)
    return _module(module, dtype, on_meta((batch, steps, width), dtype))


def _bags(dtype: str, rng: random.Random) -> list[Call]:
    rows, width = draw(rng, 1000, 1_000_000), rng.choice((64, 128, 256, 300, 512, 768))
    bags, length = draw(rng, 1, 8192), draw(rng, 2, 256)
    with torch.device("meta"):
        module = torch.nn.EmbeddingBag(min(rows, int(2e8) // width), width, mode=rng.choice(("sum", "mean")))
    return _module(module, dtype, torch.empty((bags, length), dtype=torch.int64, device="meta"))


def _scatters(dtype: str, rng: random.Random) -> list[Call]:
    """Rows added up by an index, and by segments: graphs, routers, pooling."""
    width, targets = draw(rng, 16, 1024, 8), draw(rng, 16, 65536)
    rows = min(draw(rng, 64, 1_000_000), int(1e8) // width)
    index = torch.empty(rows, dtype=torch.int64, device="meta")
    source, into = on_meta((rows, width), dtype), on_meta((targets, width), dtype)
    wide = index.unsqueeze(1).expand(rows, width)
    calls = [
        *record_program(lambda a, i, b: a.index_add(0, i, b), [into, index, source]),
        *record_program(lambda a, i, b: a.scatter_add(0, i, b), [into, wide, source]),
        *record_program(lambda a, i, b: a.scatter_reduce(0, i, b, "amax"), [into, wide, source]),
    ]
    segments = max(1, rows // draw(rng, 2, 64))
    lengths = torch.empty(segments, dtype=torch.int64, device="meta")
    data = on_meta((rows // segments * segments, width), dtype)
    # Unchecked: a check of the lengths would wait for the device, which no captured graph can do.
    return [
        *calls,
        *record_program(lambda d, n: torch.segment_reduce(d, "sum", lengths=n, unsafe=True), [data, lengths]),
    ]


_SORTS: dict[str, Callable[[str, random.Random], list[Call]]] = {
    "depthwise_images": _depthwise_images, "depthwise_time": _depthwise_time, "depthwise_heads": _depthwise_heads,
    "grouped_images": _grouped_images, "windows": _windows, "dynamic_convolution": _dynamic_convolution,
    "chains": _chains, "fourier": _fourier, "recurrent": _recurrent, "bags": _bags, "scatters": _scatters,
    **IMAGE_SORTS,
}  # fmt: skip
