"""Fourier transforms: 5 N log2(L) over the dimensions that are transformed, half of it for real ones."""

from __future__ import annotations

import pytest
import torch

from irene.primitives import count_flop

X = torch.rand(4, 16, 8)
Z = torch.rand(4, 16, 9, dtype=torch.complex64)
FULL = 5 * X.numel()
TRANSFORMS = {
    "the last dimension": (("fft_fft.default", X), FULL * 3),
    "another dimension": (("fft_fft.default", X, None, 1), FULL * 4),
    "padded": (("fft_fft.default", X, 32), 5 * 4 * 16 * 32 * 5),
    "cut": (("fft_ifft.default", Z, 4), 5 * 4 * 16 * 4 * 2),
    "the last two": (("fft_fft2.default", X), FULL * 7),
    "two that are named": (("fft_fft2.default", X, None, [0, 1]), FULL * 6),
    "all": (("fft_fftn.default", X), FULL * 9),
    "some of all": (("fft_fftn.default", X, None, [1, 2]), FULL * 7),
    "as many as sizes": (("fft_fftn.default", X, [16, 16]), 5 * 4 * 16 * 16 * 8),
    "real": (("fft_rfft.default", X), FULL * 3 / 2),
    "real, padded": (("fft_rfft.default", X, 16), 5 * 4 * 16 * 16 * 4 / 2),
    "back to real": (("fft_irfft.default", Z), 5 * 4 * 16 * 16 * 4 / 2),
    "real, the last two": (("fft_rfft2.default", X), FULL * 7 / 2),
    "back to real, the last two": (("fft_irfft2.default", Z), 5 * 4 * 16 * 16 * 8 / 2),
    "Hermitian": (("fft_hfft.default", Z), 5 * 4 * 16 * 16 * 4 / 2),
    "below the functions": (("_fft_c2c.default", Z, [0, 1], 0, True), 5 * Z.numel() * 6),
    "below, real": (("_fft_r2c.default", X, [2], 0, True), FULL * 3 / 2),
    "below, back to real": (("_fft_c2r.default", Z, [2], 0, 16), 5 * 4 * 16 * 16 * 4 / 2),
    "frames of sound": (
        ("stft.default", torch.rand(2, 256), 64, 32, 64, torch.ones(64), False, None, True), 5 / 2 * 2 * 7 * 64 * 6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_over_what_is_transformed(name, counted):
    (op, *args), expected = TRANSFORMS[name]
    call, _ = counted(f"aten.{op}", *args)
    assert count_flop(call) == expected
