"""Which set of kernels a call is run by: one regressor of time each, as sets share no more than a family of columns.

Products in 16 bits, as TF32 and on vector units come from three sets; so do the backends of fused attention. Products
in low precision come from others, which no row of another says anything of: `known_by` keeps their ranges and widths
apart too, so that a predictor without their rows prices them by the ideal time, as a fallback. So it does with
depthwise convolutions, sums by index, and norms, pools and resizings of images, which are wrong by factors where
others of their kinds are by per cents.
"""

from __future__ import annotations

from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call
from irene.primitives.depthwise import is_depthwise
from irene.primitives.features import feature_family
from irene.primitives.image_passes import image_sort
from irene.primitives.kinds import Kind, is_pointwise
from irene.primitives.shapes import gemm_shape, is_transposed

HALF_DTYPES = ("bfloat16", "float16")
LOW_PRECISION = ("gemm-fp8", "gemm-int8", "gemm-sparse", "gemm-packed", "gemm-grouped-fp8")
"""Tensor cores in 8 bits; 2:4 sparse weights; packed weights beside 16 bits; experts in 8 bits."""
BY_FACTORS = ("gemm-convolution-depthwise", "vector-images", "vector-sums-by-index")
"""Sets of kernels whose calls are wrong by factors, each on its own (experiments/seldom-calls)."""
_APART = (*LOW_PRECISION, *BY_FACTORS)
SELDOM = (*BY_FACTORS, "other")
"""What calls are known by of which the passes that were measured whole have next to none."""
COLLECTIVE = "collective"
"""What ranks exchange, the one set that no row of a single GPU teaches, and whose rows teach nothing else."""
REGRESSORS = (
    "gemm-half", "gemm-tf32", "gemm-single", "gemm-convolution", "gemm-convolution-in-groups",
    "gemm-convolution-depthwise", "gemm-grouped", "attention-fused", "attention-efficient", "attention-math",
    "vector-pointwise", "vector-rowwise", "vector-images", "vector-sums-by-index", *LOW_PRECISION, COLLECTIVE,
)  # fmt: skip
"""The names of all sets, the feature family first."""

_OF_BACKEND = {
    "cudnn": "attention-fused", "flash": "attention-fused", "efficient": "attention-efficient", "math": "attention-math"
}  # fmt: skip
_OF_OPERATOR = {
    "_scaled_mm": "gemm-fp8", "_int_mm": "gemm-int8", "_scaled_grouped_mm": "gemm-grouped-fp8",
    "_weight_int4pack_mm": "gemm-packed", "_weight_int8pack_mm": "gemm-packed",
    "_cslt_sparse_mm": "gemm-sparse", "_sparse_semi_structured_linear": "gemm-sparse",
    "_sparse_semi_structured_mm": "gemm-sparse", "_sparse_semi_structured_addmm": "gemm-sparse",
}  # fmt: skip
_SUMS_BY_INDEX = (
    "scatter_add", "scatter_reduce", "index_add", "index_reduce", "segment_reduce", "embedding_bag", "_embedding_bag",
)  # fmt: skip


def regressor_of(call: Call, kind: Kind, dtype: str, spec: DeviceSpec) -> str:
    """The name in REGRESSORS; `dtype` is the mode that the call's products run in."""
    if call.name in _OF_OPERATOR:
        return _OF_OPERATOR[call.name]
    family = feature_family(kind)
    if kind == "collective":
        return COLLECTIVE
    if family == "attention":
        return _OF_BACKEND[attention_backend(call, spec.chip.attention_backends)]
    if family == "vector":
        if call.name.rstrip("_") in _SUMS_BY_INDEX:
            return "vector-sums-by-index"
        if image_sort(call):
            return "vector-images"
        return "vector-pointwise" if is_pointwise(call) else "vector-rowwise"
    if kind == "convolution":
        if is_depthwise(call):
            return "gemm-convolution-depthwise"
        return "gemm-convolution-in-groups" if _is_in_groups(call) else "gemm-convolution"
    if kind != "gemm":
        return "gemm-grouped"
    if dtype in HALF_DTYPES:
        return "gemm-half"
    return "gemm-tf32" if dtype == "tf32" else "gemm-single"


def family_of(regressor: str) -> str:
    """The feature family of a name in REGRESSORS: 'gemm', 'attention', 'vector' or 'collective'."""
    return regressor.partition("-")[0]


def known_by(kind: str, regressor: str) -> str:
    """Under which name a predictor keeps what it knows of a call: its kind, or the regressor of what stands apart.

    >>> known_by("gemm", "gemm-half"), known_by("gemm", "gemm-int8")
    ('gemm', 'gemm-int8')
    """
    return regressor if regressor in _APART else kind


def _is_in_groups(call: Call) -> bool:
    """Along one dimension, each group of several channels: the library runs some many times slower than others."""
    shape = gemm_shape(call)
    return len(call.tensors[1].shape) == 3 and shape.batch > 1 and shape.n > 1 and not is_transposed(call)
