"""Linear layers of eight bits: fp8 and int8 products, int8 with columns left out, int8 weights alone."""

from __future__ import annotations

from typing import Any

import torch

from irene.variants.low_precision.packed_linear import PackedLinear
from irene.variants.low_precision.passes import (
    BLOCK,
    FP8,
    FP8_MOST,
    dequantise,
    quantise_fp8,
    quantise_fp8_blocks,
    quantise_fp8_whole,
    quantise_int8,
    scale_result,
)

_LEAST_ROWS = 17  # of `_int_mm` on a GPU (torch, aten/src/ATen/native/cuda/Blas.cpp)


class Float8Linear(PackedLinear):
    """`_scaled_mm` of e4m3 weights and activations, with scales for a tensor, a row (channel), or blocks of 128 x 128.

    Activations are scaled as they come, or, of a tensor, by a stored scale (static).
    """

    def __init__(self, like: torch.nn.Linear, scales: str, is_static: bool = False) -> None:
        super().__init__(like)
        self.scales = scales
        weight = like.weight.detach()
        if scales == "block":
            values, scale = _in_blocks(weight)
        else:
            values, scale = quantise_fp8_whole(weight) if scales == "tensor" else quantise_fp8(weight)
        self.keep(weight=values, scale=scale)
        self.is_static = is_static
        if is_static:
            self.keep(activation_scale=torch.ones((), dtype=torch.float32, device=weight.device))

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        x, x_scale = self._quantise(rows)
        weight: Any = self.weight
        scale: Any = self.scale
        is_fast = self.scales != "block"
        answer: torch.Tensor = torch._scaled_mm(
            x, weight.t(), x_scale, scale if self.scales == "tensor" else scale.t(), self.bias if is_fast else None,
            None, self.dtype, is_fast,
        )  # fmt: skip
        return answer if is_fast or self.bias is None else answer + self.bias

    def _quantise(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.is_static:
            stored: Any = self.activation_scale
            return (rows / stored).clamp(-FP8_MOST, FP8_MOST).to(FP8), stored
        by = {"tensor": quantise_fp8_whole, "row": quantise_fp8, "block": quantise_fp8_blocks}
        return by[self.scales](rows)


def _in_blocks(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, K) -> e4m3 values and a scale for every 128 x 128, (N / 128, K / 128), the last ones of fewer rows."""
    n, k = weight.shape
    padded = torch.nn.functional.pad(weight, (0, 0, 0, -n % BLOCK))
    tiles = padded.view(-1, BLOCK, k // BLOCK, BLOCK).transpose(1, 2).reshape(-1, BLOCK * BLOCK)
    values, scale = quantise_fp8(tiles)
    values = values.view(-1, k // BLOCK, BLOCK, BLOCK).transpose(1, 2).reshape(padded.shape)[:n].contiguous()
    return values, scale.view(-1, k // BLOCK)


class Int8Linear(PackedLinear):
    """`_int_mm` of int8 weights, a scale a row, and activations quantised row by row as they come.

    Fewer than 17 rows are filled up: the kernel takes no fewer.
    """

    def __init__(self, like: torch.nn.Linear) -> None:
        super().__init__(like)
        values, scale = quantise_int8(like.weight.detach())
        self.keep(weight=values, scale=scale.squeeze(-1).float())

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        x, x_scale = quantise_int8(rows)
        answer = scale_result(self._product(x), x_scale, self.scale, self.dtype)  # type: ignore[arg-type]
        return answer if self.bias is None else answer + self.bias

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        missing = max(_LEAST_ROWS - len(x), 0)
        filled = torch.nn.functional.pad(x, (0, 0, 0, missing)) if missing else x
        answer: torch.Tensor = torch._int_mm(filled, self.weight.t())  # type: ignore[operator]
        return answer[: len(x)] if missing else answer


class OutlierInt8Linear(Int8Linear):
    """LLM.int8(): columns of activations with values of 6 or more are multiplied in 16 bits, all others in int8.

    bitsandbytes looks for such columns in every call; so does this, and then takes those that were chosen once, as a
    number of columns that depends on data has no cost that could be known.
    """

    THRESHOLD = 6.0

    def __init__(self, like: torch.nn.Linear, outliers: int) -> None:
        super().__init__(like)
        step = max(like.in_features // outliers, 1)
        self.keep(columns=torch.arange(0, like.in_features, step, device=like.weight.device)[:outliers])

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        columns: Any = self.columns
        (rows.abs() >= self.THRESHOLD).any(dim=0)  # where a library would learn the columns
        apart = rows[:, columns]
        x, x_scale = quantise_int8(rows.index_fill(1, columns, 0.0))
        answer = scale_result(self._product(x), x_scale, self.scale, self.dtype)  # type: ignore[arg-type]
        wide = dequantise(self.weight[:, columns], self.scale[:, None], self.dtype)  # type: ignore[index]
        answer = torch.addmm(answer, apart, wide.t())
        return answer if self.bias is None else answer + self.bias


class Int8WeightLinear(PackedLinear):
    """Int8 weights beside activations of 16 bits: dequantised and multiplied, or in one `_weight_int8pack_mm`."""

    def __init__(self, like: torch.nn.Linear, is_fused: bool) -> None:
        super().__init__(like)
        self.is_fused = is_fused
        values, scale = quantise_int8(like.weight.detach())
        self.keep(weight=values, scale=scale.squeeze(-1))

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        weight: Any = self.weight
        scale: Any = self.scale
        if not self.is_fused:
            return torch.nn.functional.linear(rows, dequantise(weight, scale[:, None], self.dtype), self.bias)
        answer = torch._weight_int8pack_mm(rows, weight, scale)
        return answer if self.bias is None else answer + self.bias
