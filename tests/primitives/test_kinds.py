"""Kinds: every operator that models call has one, and no name in the table is invented."""

from __future__ import annotations

import pytest
import torch

from irene.primitives import (
    KINDS,
    Call,
    TensorSpec,
    count_flop,
    count_traffic_bytes,
    is_known,
    kind_of,
    launches_kernel,
)
from irene.primitives.kinds import _TABLE, is_pointwise

# What 60 architectures of transformers 5 call in a forward pass (outermost aten operators on meta tensors).
SEEN = """
__and__.Tensor _grouped_mm.default _weight_norm.default abs.default adaptive_avg_pool1d.default
adaptive_avg_pool2d.default add.Tensor add_.Tensor addmm.default alias.default any.default arange.default arange.start
arange.start_step argmax.default avg_pool2d.default baddbmm.default batch_norm.default bitwise_not.default bmm.default
broadcast_to.default cat.default chunk.default clamp.default clamp_.default clamp_min.default clone.default
contiguous.default conv1d.default conv2d.default copy_.default cos.default cumsum.default detach.default
detach_.default div.Tensor div_.Tensor dropout.default einsum.default embedding.default empty.memory_format
empty_like.default eq.Scalar exp.default expand.default expand_as.default flatten.using_ints floor_divide.default
full.default full_like.default gather.default ge.Scalar ge.Tensor gelu.default group_norm.default gt.Scalar gt.Tensor
histc.default index.Tensor index_put_.default index_select.default layer_norm.default le.Tensor lift_fresh.default
linalg_solve_triangular.default linalg_vector_norm.default linear.default log.default lt.Scalar masked_fill.Scalar
masked_fill_.Scalar matmul.default max.dim max.other max_pool2d.default maximum.default mean.dim min.other mul.Tensor
ne.Scalar neg.default new_empty.default new_full.default new_ones.default new_zeros.default numpy_T.default ones.default
ones_like.default pad.default permute.default polar.default pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor rand.default
reciprocal.default relu.default relu_.default repeat.default repeat_interleave.self_int reshape.default roll.default
rsqrt.default rsub.Scalar scalar_tensor.default scaled_dot_product_attention.default scatter_.src select.int
sigmoid.default silu.default sin.default slice.Tensor softmax.int softplus.default sort.default split.Tensor
split_with_sizes.default sqrt.default square.default squeeze.default squeeze.dim stack.default sub.Tensor sub_.Tensor
sum.default sum.dim_IntList t.default tanh.default to.device to.dtype to.dtype_layout topk.default transpose.int
triu.default type_as.default unbind.int unsqueeze.default upsample_bilinear2d.vec view.default view_as_complex.default
view_as_real.default where.ScalarOther where.self zeros.default zeros_like.default
"""


@pytest.mark.parametrize("op", SEEN.split())
def test_what_models_call_is_known(op):
    assert is_known(Call(f"aten.{op}", ()))


# Gone from torch 2.14; trees that an older one traced have them.
GONE = {"cholesky", "qr"}


def test_every_name_in_the_table_is_an_operator_of_torch():
    names = {name.split("::")[1].split(".")[0] for name in torch._C._dispatch_get_all_op_names() if "aten::" in name}
    listed = {key.removeprefix("aten.") for key in _TABLE if key.startswith("aten.")}
    assert {name for name in listed if name not in names and f"{name}_" not in names} <= GONE < listed


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("aten.linear.default", "gemm"),
        ("aten.einsum.default", "gemm"),
        ("aten.conv2d.padding", "convolution"),
        ("aten.scaled_dot_product_attention.default", "attention"),
        ("transformers.grouped_mm_fallback.default", "grouped_gemm"),
        ("aten.layer_norm.default", "norm"),
        ("aten._softmax.default", "softmax"),
        ("aten.relu_.default", "activation"),
        ("aten.masked_fill_.Scalar", "elementwise"),
        ("aten.max.dim", "reduction"),
        ("aten.max.other", "elementwise"),
        ("aten.index_put_.default", "embedding"),
        ("aten.copy_.default", "copy"),
        ("aten.zero_.default", "fill"),
        ("aten.topk.default", "sort"),
        ("aten.uniform_.default", "random"),
        ("aten.unsqueeze_.default", "view"),
        ("aten.empty.memory_format", "view"),
        ("aten.nonzero.default", "other"),
        ("elsewhere.add.Tensor", "unknown"),
    ],
)
def test_kinds(op, kind):
    assert kind_of(Call(op, ())) == kind
    assert kind in KINDS


def test_dropout_launches_only_in_training(spec):
    x = spec(4, 4)
    assert kind_of(Call("aten.dropout.default", (x, 0.1, False), (), (x,))) == "view"
    assert kind_of(Call("aten.dropout.default", (x, 0.1, True), (), (x,))) == "random"


@pytest.mark.parametrize("op", ["aten.reshape.default", "aten.to.dtype", "aten.contiguous.default"])
def test_a_copy_hides_in_these_unless_it_is_a_view(op, spec):
    x = spec(4, 4)
    made = TensorSpec(x.shape, (1, 4), x.dtype)
    copy, view = Call(op, (x,), (), (made,)), Call(op, (x,), (), (x,), is_view=True)
    assert (kind_of(copy), kind_of(view)) == ("copy", "view")
    assert launches_kernel(copy) and not launches_kernel(view)
    assert (count_flop(view), count_traffic_bytes(view)) == (0, 0)
    assert count_traffic_bytes(copy) == 2 * x.bytes


def test_nothing_is_launched_where_nothing_changes(spec):
    x, other = spec(4, 4), TensorSpec((4, 4), (4, 1), "float64")
    for op, args in (("aten.to.dtype", (x, "torch.float32")), ("aten.type_as.default", (x, x))):
        assert not launches_kernel(Call(op, args, (), (x,)))
        assert launches_kernel(Call(op, args, (), (other,)))
    assert launches_kernel(Call("aten.to.dtype", (x, "torch.float32", False, True), (), (x,))), "told to copy"
    assert launches_kernel(Call("aten.to.dtype", (x, "torch.float32"), (("copy", True),), (x,)))
    assert launches_kernel(Call("aten.to.device", (x, "device", "torch.float32"), (), (x,))), "from the host"


@pytest.mark.parametrize("op", ["aten.to.device", "aten.add.Tensor", "aten.cat.default", "mylib.scan.default"])
def test_outputs_without_elements_launch_nothing(op, spec):
    empty = TensorSpec((0,), (1,), "bfloat16")
    call = Call(op, (empty, empty), (), (empty,))
    assert not launches_kernel(call) and (count_flop(call), count_traffic_bytes(call)) == (0, 0)
    assert launches_kernel(Call(op, (empty, empty), (), (empty, spec(4))))


def test_an_unknown_operator_is_flagged_and_never_free():
    x = TensorSpec((1000,), (1,), "float32")
    call = Call("elsewhere.scan.default", (x, x), (), (x,))
    assert not is_known(call)
    assert count_flop(call) == 1000
    assert count_traffic_bytes(call) == 3 * 4000


def test_batch_norms_are_pointwise_in_evaluation_alone() -> None:
    def norm(training: bool) -> Call:
        return Call("aten.batch_norm.default", (None, None, None, None, None, training, 0.1, 1e-5, True))

    assert is_pointwise(norm(False)) and not is_pointwise(norm(True))
    assert is_pointwise(Call("aten._native_batch_norm_legit_no_training.default", ()))
    assert not is_pointwise(Call("aten.layer_norm.default", ())) and is_pointwise(Call("aten.clone.default", ()))
