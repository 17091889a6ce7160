"""Which kind of primitive a call is: the one question that FLOP, bytes, features and regressors all ask first.

A kind groups operators whose cost follows the same law (all matrix products, all elementwise kernels), so that one
rule and one regressor serve many operators. An operator that nobody listed is 'unknown': it is never priced at zero.
"""

from __future__ import annotations

from typing import Literal, get_args

from irene.primitives.call import Call, TensorSpec

Kind = Literal[
    "gemm",  # dense matrix products, batched or not
    "convolution",
    "attention",  # scaled dot-product attention, fused
    "grouped_gemm",  # one product per expert, rows divided among experts
    "norm",
    "softmax",
    "activation",
    "elementwise",
    "reduction",  # many elements in, few out; scans and pooling too
    "embedding",  # gathers and scatters: bytes follow the rows touched, not the table
    "copy",  # moves or casts elements
    "fill",  # writes elements, reads none
    "sort",
    "random",
    "view",  # launches nothing: zero FLOP, zero bytes, but host time
    "other",  # known, launches kernels, fits no law above: bytes roof
    "unknown",  # nobody listed it: bytes roof, flagged as a fallback
    "collective",  # ranks exchange a tensor over the link between them
]
KINDS: tuple[Kind, ...] = get_args(Kind)
MATMUL_KINDS: frozenset[Kind] = frozenset({"gemm", "convolution", "attention", "grouped_gemm"})

_POINTWISE_KINDS: frozenset[Kind] = frozenset({"activation", "elementwise", "copy", "fill", "random"})
# Norms that take (input, weight, bias, mean, variance, whether to find these two in the input, ...).
_BATCH_NORMS = ("batch_norm", "native_batch_norm", "cudnn_batch_norm", "instance_norm")
_TRAINING_AT = 5
_EVALUATED_NORMS = ("_native_batch_norm_legit_no_training", "_batch_norm_no_update")

# Layers that walk over a sequence step by step, and one step of them ("cells").
RECURRENT = frozenset({
    "aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu", "aten.lstm_cell", "aten.gru_cell",
    "aten.rnn_tanh_cell", "aten.rnn_relu_cell",
})  # fmt: skip

COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_receive")
"""What ranks exchange: operators `collective.NAME.default` or, in place, `collective.NAME_.default`."""

# Names without overload and without the trailing underscore of in-place variants. Sources: the operators of the
# models of transformers 5, and PyTorch's native_functions.yaml for their neighbours.
_ATEN: dict[Kind, str] = {
    "gemm": """linear matmul mm addmm bmm baddbmm addbmm mv addmv dot vdot inner einsum tensordot bilinear
        _int_mm _scaled_mm _addmm_activation linalg_matmul _weight_int8pack_mm _weight_int4pack_mm
        _cslt_sparse_mm _sparse_semi_structured_linear _sparse_semi_structured_mm
        _sparse_semi_structured_addmm""",
    "convolution": """conv1d conv2d conv3d convolution _convolution conv_transpose1d conv_transpose2d
        conv_transpose3d cudnn_convolution cudnn_convolution_transpose mkldnn_convolution slow_conv3d
        thnn_conv2d _conv_depthwise2d""",
    "attention": """scaled_dot_product_attention _scaled_dot_product_flash_attention
        _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
        _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable
        _scaled_dot_product_attention_math""",
    "grouped_gemm": "_grouped_mm _scaled_grouped_mm",
    "norm": """layer_norm native_layer_norm rms_norm _fused_rms_norm group_norm native_group_norm batch_norm
        native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
        _batch_norm_no_update instance_norm _weight_norm _weight_norm_interface renorm""",
    "softmax": """softmax _softmax log_softmax _log_softmax _safe_softmax special_softmax special_log_softmax
        _masked_softmax""",
    "activation": """gelu silu relu relu6 tanh sigmoid hardswish hardsigmoid hardtanh leaky_relu elu selu celu
        mish softplus log_sigmoid log_sigmoid_forward prelu _prelu_kernel glu threshold hardshrink softshrink
        rrelu""",
    "elementwise": """add sub rsub mul multiply div divide true_divide floor_divide subtract remainder fmod pow
        float_power square sqrt rsqrt reciprocal neg negative abs absolute sign sgn exp exp2 expm1 log log2
        log10 log1p logaddexp logaddexp2 sin cos tan asin acos atan atan2 arctan2 sinh cosh asinh acosh atanh
        erf erfc erfinv special_expit floor ceil round trunc fix frac clamp clip clamp_min clamp_max maximum
        minimum fmax fmin where masked_fill eq ne lt le gt ge greater greater_equal less less_equal not_equal
        isnan isinf isfinite isin isclose logical_and logical_or logical_not logical_xor bitwise_and bitwise_or
        bitwise_not bitwise_xor bitwise_left_shift bitwise_right_shift __and__ __or__ __xor__ __lshift__
        __rshift__ __iand__ __ior__ __ixor__ addcmul addcdiv lerp polar complex angle nan_to_num outer ger cross
        xlogy sinc heaviside copysign hypot bucketize searchsorted tril triu conj_physical signbit ldexp lgamma
        digamma diff _transform_bias_rescale_qkv fake_quantize_per_tensor_affine
        fake_quantize_per_channel_affine""",
    "reduction": """mean sum nansum prod max min amax amin aminmax argmax argmin all any var std var_mean
        std_mean norm linalg_vector_norm linalg_norm frobenius_norm logsumexp cumsum cumprod cummax cummin
        logcumsumexp count_nonzero median nanmedian quantile histc bincount trace dist cosine_similarity
        pairwise_distance avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
        max_pool2d_with_indices max_pool1d_with_indices max_pool3d_with_indices adaptive_avg_pool1d
        adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d
        equal allclose segment_reduce""",
    "embedding": """embedding embedding_bag _embedding_bag index gather index_select take take_along_dim
        masked_select index_put _index_put_impl _unsafe_index _unsafe_index_put index_copy index_fill index_add
        index_reduce scatter scatter_add scatter_reduce masked_scatter put""",
    "copy": """contiguous clone reshape reshape_as flatten ravel to _to_copy type_as copy cat concat concatenate stack
        hstack vstack dstack column_stack row_stack repeat repeat_interleave tile roll flip fliplr flipud rot90
        pad constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d one_hot im2col
        col2im pixel_shuffle pixel_unshuffle channel_shuffle slice_scatter select_scatter diagonal_scatter
        as_strided_scatter block_diag combinations cartesian_prod resolve_conj resolve_neg slice_copy
        select_copy permute_copy view_copy transpose_copy expand_copy unsqueeze_copy unfold_copy diag diag_embed
        _convert_weight_to_int4pack _cslt_compress _to_sparse_semi_structured""",
    "fill": """zeros ones full eye arange range linspace logspace zeros_like ones_like full_like new_zeros
        new_ones new_full fill zero fill_diagonal scalar_tensor tril_indices triu_indices hann_window
        hamming_window vander""",
    "sort": "sort msort argsort topk kthvalue _unique2 unique_consecutive unique_dim mode",
    "random": """rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal
        uniform random exponential geometric cauchy log_normal poisson native_dropout _fused_dropout""",
    "view": """view _unsafe_view _reshape_alias view_as transpose t swapaxes swapdims movedim
        moveaxis permute numpy_T matrix_H mT mH adjoint expand expand_as broadcast_to broadcast_tensors squeeze
        unsqueeze unflatten select slice narrow chunk split split_with_sizes tensor_split hsplit vsplit dsplit
        unsafe_chunk unsafe_split unsafe_split_with_sizes unbind unfold diagonal as_strided detach alias lift
        lift_fresh view_as_real view_as_complex real imag conj _conj _neg_view positive atleast_1d atleast_2d
        atleast_3d meshgrid empty empty_like empty_strided empty_permuted new_empty new_empty_strided resize
        resize_as set requires_grad size stride sym_size sym_stride sym_numel sym_storage_offset numel dim
        is_floating_point is_complex is_same_size is_contiguous is_pinned result_type can_cast promote_types
        _has_compatible_shallow_copy_type values indices _assert_tensor_metadata _assert_scalar
        sym_constrain_range sym_constrain_range_for_size""",
    "other": """nonzero item _local_scalar_dense is_nonzero _assert_async _functional_assert_async
        linalg_solve_triangular triangular_solve linalg_inv linalg_inv_ex inverse linalg_solve linalg_solve_ex
        _linalg_solve_ex linalg_cholesky linalg_cholesky_ex cholesky cholesky_solve cholesky_inverse linalg_qr qr
        geqrf linalg_householder_product orgqr ormqr linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_lu_solve
        linalg_ldl_factor linalg_ldl_factor_ex linalg_ldl_solve _linalg_det linalg_det det _linalg_slogdet
        linalg_slogdet slogdet linalg_svd _linalg_svd svd linalg_svdvals linalg_eigh _linalg_eigh linalg_eigvalsh
        linalg_eig linalg_eigvals _linalg_eigvals linalg_lstsq linalg_pinv linalg_matrix_exp matrix_exp
        _linalg_check_errors
        lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell
        fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft fft_fft2 fft_ifft2 fft_fftn fft_ifftn fft_rfft2
        fft_irfft2 fft_hfft2 fft_ihfft2 fft_rfftn fft_irfftn fft_hfftn fft_ihfftn _fft_r2c _fft_c2r _fft_c2c stft
        istft upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
        _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
        _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d affine_grid_generator cdist
        _cdist_forward _euclidean_dist pdist _pdist_forward""",
}  # fmt: skip
# Overloads that do something else than their name's other overloads.
_OVERLOADS: dict[str, Kind] = {
    "aten.max.other": "elementwise",
    "aten.min.other": "elementwise",
    "aten.where.default": "other",  # nonzero by another name
}
# They hand their input on where it is already as asked: whether they launch a kernel is not in their name.
MAY_DO_NOTHING = frozenset({"aten.to.dtype", "aten.type_as.default"})
_PACKETS: dict[str, str] = {}  # by operator: asked several times for each call
_MARKS = "profiler."  # `record_function` and what wraps a module in it: marks in a trace, no kernels
_DROPOUTS = frozenset({"aten.dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.feature_alpha_dropout"})


def _build_table() -> dict[str, Kind]:
    table: dict[str, Kind] = {"prim.device": "view", "prim.dtype": "view"}
    table["transformers.grouped_mm_fallback"] = "grouped_gemm"  # what transformers runs where _grouped_mm is missing
    table |= dict.fromkeys([f"collective.{name}" for name in COLLECTIVES], "collective")
    for kind, names in _ATEN.items():
        for name in names.split():
            key = f"aten.{name}"
            if table.setdefault(key, kind) != kind:
                raise ValueError(f"{key} is listed as {table[key]} and as {kind}")
    return table


_TABLE = _build_table()


def packet_of(call: Call) -> str:
    """Namespace and name of the operator, without overload and without the underscore of an in-place variant.

    >>> packet_of(Call("aten.relu_.default", ()))
    'aten.relu'
    """
    packet = _PACKETS.get(call.op)
    if packet is None:
        namespace = call.op.split(".", 1)[0] if "." in call.op else "aten"
        name = call.name[:-1] if call.is_in_place else call.name
        packet = _PACKETS[call.op] = f"{namespace}.{name}"
    return packet


def kind_of(call: Call) -> Kind:
    """The kind of a call.

    A call whose output shares an input's memory is a 'view' whatever its name says; so is one that only hands its input
    on, or whose outputs hold no element: nothing is launched to fill nothing.

    >>> kind_of(Call("aten.linear.default", ())), kind_of(Call("aten.reshape.default", (), is_view=True))
    ('gemm', 'view')
    >>> kind_of(Call("mylib.fused_scan.default", ()))
    'unknown'
    """
    if not call._kind:  # asked for by every count: remember it
        object.__setattr__(call, "_kind", _find_kind(call))
    return call._kind  # type: ignore[return-value]


def _find_kind(call: Call) -> Kind:
    if call.is_view or _does_nothing(call):
        return "view"
    packet = packet_of(call)
    if packet.startswith(_MARKS):
        return "view"
    if packet in _DROPOUTS:  # dropout(input, p, train): outside training it returns its input
        train = call.args[2] if len(call.args) > 2 else call.kwarg("train", True)
        return "random" if train else "view"
    return _OVERLOADS.get(call.op) or _TABLE.get(packet, "unknown")


def _does_nothing(call: Call) -> bool:
    if call.outputs:
        for output in call.outputs:
            if 0 not in output.shape:
                break
        else:
            return True
    if call.op not in MAY_DO_NOTHING or len(call.outputs) != 1 or not call.args:
        return False
    given, made = call.args[0], call.outputs[0]
    is_same = isinstance(given, TensorSpec) and (given.shape, given.stride, given.dtype) == (
        made.shape, made.stride, made.dtype,
    )  # fmt: skip
    must_copy = call.args[3] if len(call.args) > 3 else call.kwarg("copy", False)
    return is_same and not must_copy


def is_product(call: Call) -> bool:
    """Whether a call's arithmetic is that of matrix products: the kinds of products, and recurrent layers.

    >>> is_product(Call("aten.lstm.input", ())), is_product(Call("aten.cdist.default", ()))
    (True, False)
    """
    return kind_of(call) in MATMUL_KINDS or packet_of(call) in RECURRENT


def is_pointwise(call: Call) -> bool:
    """Whether each element written hangs on the elements at its own place alone, as in a loop without a reduction.

    A batch norm in evaluation is one: it scales and shifts a channel by what was found in training.

    >>> is_pointwise(Call("aten.gelu.default", ())), is_pointwise(Call("aten.softmax.int", ()))
    (True, False)
    """
    if call.name in _BATCH_NORMS:
        return len(call.args) > _TRAINING_AT and not call.args[_TRAINING_AT]
    return kind_of(call) in _POINTWISE_KINDS or call.name in _EVALUATED_NORMS


def is_known(call: Call) -> bool:
    """Whether the call's operator has a kind of its own; if not, every count of it is a flagged fallback."""
    return kind_of(call) != "unknown"


def launches_kernel(call: Call) -> bool:
    """False for views and for calls that only allocate: they cost host time alone."""
    return kind_of(call) != "view"
