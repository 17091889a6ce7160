"""Which columns each regressor of time sees beside the features that its whole family has: named, and computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.columns.attention_waves import attention_wave_names, attention_wave_ratios
from irene.leaves.columns.depthwise_convolution import DEPTHWISE_CONVOLUTION, depthwise_convolution
from irene.leaves.columns.grouped_convolution import GROUPED_CONVOLUTION, grouped_convolution
from irene.leaves.columns.image_convolution import IMAGE_CONVOLUTION, image_convolution
from irene.leaves.columns.image_passes import IMAGE_PASSES, image_passes
from irene.leaves.columns.layout_features import ATTENTION_LAYOUT, PRODUCT_LAYOUT, attention_layout, product_layout
from irene.leaves.columns.library_tiles import LIBRARY_TILES, library_tiles
from irene.leaves.columns.low_precision import LOW_PRECISION_COLUMNS, low_precision
from irene.leaves.columns.pass_layout import PASS_LAYOUT, pass_layout
from irene.leaves.columns.sums_by_index import SUMS_BY_INDEX, sums_by_index
from irene.leaves.columns.tile_times import tile_time_names, tile_time_ratios
from irene.leaves.kernel_sets import LOW_PRECISION, family_of
from irene.primitives.call import Call

Columns: TypeAlias = Callable[[Sequence[Call], Sequence[str], FloatArray, DeviceSpec], FloatArray]
_PRODUCT = ((tile_time_names(), tile_time_ratios), (LIBRARY_TILES, library_tiles), (PRODUCT_LAYOUT, product_layout))
# Convolutions come from another library, whose tiles are not those of products: regressors err more with them.
_CONVOLUTION = ((tile_time_names(), tile_time_ratios), (PRODUCT_LAYOUT, product_layout))
# What a library's kernel choices would take, and how operands lie in memory: see the files.
_BESIDE: dict[str, tuple[tuple[tuple[str, ...], Columns], ...]] = {
    "gemm": _PRODUCT,
    "attention": ((attention_wave_names(), attention_wave_ratios), (ATTENTION_LAYOUT, attention_layout)),
    "vector": ((PASS_LAYOUT, pass_layout),),
    "vector-sums-by-index": ((SUMS_BY_INDEX, sums_by_index),),
    "vector-images": ((IMAGE_PASSES, image_passes),),
    "collective": (),
    "gemm-convolution": (*_CONVOLUTION, (IMAGE_CONVOLUTION, image_convolution)),
    "gemm-convolution-in-groups": (*_CONVOLUTION, (GROUPED_CONVOLUTION, grouped_convolution)),
    "gemm-convolution-depthwise": ((DEPTHWISE_CONVOLUTION, depthwise_convolution),),
    **dict.fromkeys(LOW_PRECISION, (*_PRODUCT, (LOW_PRECISION_COLUMNS, low_precision))),
}


def columns_beside(regressor: str) -> tuple[tuple[tuple[str, ...], Columns], ...]:
    """Names and computations of the columns of a regressor, or, where it has none of its own, those of its family."""
    return _BESIDE.get(regressor) or _BESIDE[family_of(regressor)]
