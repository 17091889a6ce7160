"""One operator call and how much work it is: kinds, FLOP, bytes and features, from shapes alone, without torch."""

from irene.primitives import fourier as fourier
from irene.primitives import linear_algebra as linear_algebra
from irene.primitives import recurrent as recurrent
from irene.primitives.attention import AttentionShape, attention_backend, attention_shape
from irene.primitives.call import Call, TensorSpec
from irene.primitives.features import FEATURE_DOCS, feature_family, feature_matrix, feature_names, features_of
from irene.primitives.flop import count_executed_flop, count_flop, count_matmul_flop, flop_per_element, register_flop
from irene.primitives.kinds import KINDS, MATMUL_KINDS, Kind, is_known, is_product, kind_of, launches_kernel, packet_of
from irene.primitives.shapes import GemmShape, compute_dtype, gemm_shape
from irene.primitives.traffic import count_traffic_bytes, distinct_bytes, split_traffic
from irene.primitives.work import Work, count_work

__all__ = [
    "FEATURE_DOCS",
    "KINDS",
    "MATMUL_KINDS",
    "AttentionShape",
    "Call",
    "GemmShape",
    "Kind",
    "TensorSpec",
    "Work",
    "attention_backend",
    "attention_shape",
    "compute_dtype",
    "count_executed_flop",
    "count_flop",
    "count_matmul_flop",
    "count_traffic_bytes",
    "count_work",
    "distinct_bytes",
    "feature_family",
    "feature_matrix",
    "feature_names",
    "features_of",
    "flop_per_element",
    "gemm_shape",
    "is_known",
    "is_product",
    "kind_of",
    "launches_kernel",
    "packet_of",
    "register_flop",
    "split_traffic",
]
