"""How products in low precision differ among themselves: scales, accumulation, groups of packed weights, as columns.

Sources: torch `aten/src/ATen/native/native_functions.yaml` (`_scaled_mm`, `_weight_int4pack_mm`), and
`aten/src/ATen/native/cuda/int4mm.cu` for the rows of activations that one pass over packed weights serves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call, TensorSpec
from irene.primitives.log_sizes import log2_size
from irene.primitives.shapes import gemm_shape

LOW_PRECISION_COLUMNS = (
    "is_scaled_by_row", "is_scaled_by_block", "is_fast_accumulated", "log2_group_size", "is_int8", "log2_row_passes",
    "log2_out_bytes",
)  # fmt: skip
_PASS_ROWS = 16  # that a kernel of packed weights takes at a time: each pass dequantises the weights anew


def low_precision(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in LOW_PRECISION_COLUMNS, shape (calls, columns)."""
    rows = [_row(call) for call in calls]
    passes = log2_size([-(-max(gemm_shape(call).m, 1) // _PASS_ROWS) for call in calls])
    made_bytes = log2_size([call.outputs[0].bytes if call.outputs else 0 for call in calls])
    return np.column_stack([np.array(rows, dtype=np.float64).reshape(len(rows), 5), passes, made_bytes])


def _row(call: Call) -> tuple[float, ...]:
    scales = _scales(call)
    blocks = scales.shape[-1] if scales is not None and len(scales.shape) == 2 else 0  # along K
    is_fast = call.name == "_scaled_mm" and (
        call.args[7] if len(call.args) > 7 else call.kwarg("use_fast_accum", False)
    )
    group = call.args[2] if call.name == "_weight_int4pack_mm" else 1
    size = float(np.log2(group)) if isinstance(group, int) and group > 0 else 0.0
    return float(blocks == 1), float(blocks > 1), float(is_fast is True), size, float(call.tensors[0].dtype == "int8")


def _scales(call: Call) -> TensorSpec | None:
    """The scales of the activations of a scaled product: () a tensor, (M, 1) a row, (M, K / 128) a block."""
    given = call.args[2] if call.name == "_scaled_mm" and len(call.args) > 2 else call.kwarg("scale_a")
    return given if isinstance(given, TensorSpec) else None
