"""Fourier transforms: 5 N log2(L) FLOP of a complex one over L points, half of it where one side is real.

The usual count of the Cooley-Tukey algorithm (http://www.fftw.org/speed/method.html). L is the product of the sizes of
the dimensions that are transformed, after padding or cutting to the sizes asked for; N all points of the transform.
"""

from __future__ import annotations

import math

from irene.primitives.call import Argument, Call
from irene.primitives.flop import register_flop
from irene.primitives.shapes import operand

_REAL_OUT = ("irfft", "hfft")
_REAL = ("rfft", "irfft", "hfft", "ihfft")
_ALL = ("fft", "ifft", *_REAL)


@register_flop(*(f"aten.fft_{name}{dims}" for name in _ALL for dims in ("", "2", "n")))
def _count_fft(call: Call) -> int:
    """fft(x, n, dim=-1), fft2(x, s, dim=(-2, -1)), fftn(x, s, dim=None: as many as s has, else all)."""
    name = call.name.removeprefix("fft_")
    several = name[-1] in "2n"
    x = operand(call, 0, "self")
    sizes = _numbers(call.args[1] if len(call.args) > 1 else call.kwarg("s" if several else "n"))
    dims = _numbers(call.args[2] if len(call.args) > 2 else call.kwarg("dim"))
    if not dims:
        dims = {"2": (-2, -1), "n": tuple(range(-(len(sizes) or len(x.shape)), 0))}.get(name[-1], (-1,))
    base = name.rstrip("2n")
    points = list((call.outputs[0] if base in _REAL_OUT and call.outputs else x).shape)
    for dim, size in zip(dims, sizes, strict=False):
        if size > 0:
            points[dim] = size
    return _count(points, dims, base in _REAL)


@register_flop("aten._fft_c2c", "aten._fft_r2c", "aten._fft_c2r")
def _count_plain(call: Call) -> int:
    """_fft_c2c(x, dim, ...), _fft_r2c(x, dim, normalization, onesided), _fft_c2r(x, dim, normalization, size)."""
    side = call.outputs[0] if call.name == "_fft_c2r" and call.outputs else operand(call, 0, "self")
    return _count(list(side.shape), _numbers(call.args[1] if len(call.args) > 1 else ()), call.name != "_fft_c2c")


@register_flop("aten.stft")
def _count_stft(call: Call) -> int:
    """A real transform of `n_fft` points for each frame of stft(x, n_fft, ...); the output ends in (bins, frames)."""
    length = max(_numbers(call.args[1] if len(call.args) > 1 else call.kwarg("n_fft")) or (1,))
    shape = call.outputs[0].shape if call.outputs else (1, 1)
    at = -1 if call.outputs and call.outputs[0].dtype.startswith("complex") else -2
    return _count([*shape[: at - 1], shape[at], length], (-1,), is_real=True)


@register_flop("aten.istft")
def _count_istft(call: Call) -> int:
    """A real transform for each frame of istft(x, n_fft, ...); x ends in (bins, frames)."""
    length = max(_numbers(call.args[1] if len(call.args) > 1 else call.kwarg("n_fft")) or (1,))
    shape = operand(call, 0, "self").shape
    return _count([*shape[:-2], shape[-1], length], (-1,), is_real=True)


def _count(points: list[int], dims: tuple[int, ...], is_real: bool) -> int:
    length = math.prod(points[dim] for dim in dims)
    flop = 5 * math.prod(points) * math.log2(max(length, 2))
    return round(flop / 2 if is_real else flop)


def _numbers(value: Argument) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    return tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()
