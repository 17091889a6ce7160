"""Recorded calls become real tensors, and every call of a real model can be replayed from its signature alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from irene.errors import BadInput, Untraceable
from irene.measuring.operands import make_operands, make_tensor
from irene.measuring.replaying import launch_replay, resolve_operator
from irene.primitives.call import DTYPE_BYTES, Call, TensorSpec
from irene.tracing import trace
from irene.tracing.encoding import spec_of
from tests.tracing.tiny_models import tiny_config

CPU = torch.device("cpu")
INT = "int64"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(*shape: int, dtype: str = "float32") -> TensorSpec:
    return spec_of(torch.empty(shape, dtype=getattr(torch, dtype), device="meta"))


@st.composite
def specs(draw: st.DrawFn) -> TensorSpec:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    tensor = torch.empty(shape, device="meta").permute(draw(st.permutations(range(len(shape)))))
    expanded = draw(st.booleans())
    strides = tuple(0 if expanded and at == 0 else stride for at, stride in enumerate(tensor.stride()))
    dtype = draw(st.sampled_from([name for name in DTYPE_BYTES if "float4" not in name]))
    return TensorSpec(tuple(tensor.shape), strides, dtype)


@given(specs(), st.integers(0, 9), st.integers(1, 300))
@settings(deadline=None)
def test_a_tensor_is_as_its_spec_says(spec: TensorSpec, seed: int, limit: int) -> None:
    tensor = make_tensor(spec, CPU, generator(seed), limit)
    assert spec_of(tensor) == spec
    if spec.dtype == INT and tensor.numel():
        assert tensor.min() >= 0 and tensor.max() < limit


def test_floats_are_random_and_never_constant() -> None:
    for dtype in ("float32", "bfloat16", "float8_e4m3fn"):
        values = make_tensor(dense(1000, dtype=dtype), CPU, generator()).float()
        assert len(values.unique()) > 50
        assert values.mean().abs() < 0.2 and 0.8 < values.std() < 1.2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "gemma2", "t5", "bart", "mixtral", "vit"])
def test_every_call_of_a_model_replays_with_the_recorded_output(architecture: str, dtype: str) -> None:
    """Independent of the tracing: on the CPU, with data, torch gives outputs of the recorded shapes and dtypes."""
    leaves = trace(tiny_config(architecture), batch_size=2, seq_len=8, dtype=dtype).root.leaves
    calls = dict.fromkeys(leaf.call for leaf in leaves if leaf.call is not None)
    assert len(calls) > 20
    for call in calls:
        try:
            output = _run(call)
        except (NotImplementedError, RuntimeError):
            assert call.name in ("histc", "_grouped_mm"), call.signature  # a CPU has no kernels for these dtypes
            continue
        outputs = output if isinstance(output, tuple | list) else (output,)
        found = [spec_of(value) for value in outputs if isinstance(value, torch.Tensor)]
        recorded = [(spec.shape, spec.dtype) for spec in call.outputs]
        assert [(spec.shape, spec.dtype) for spec in found] == recorded, call.signature


def _run(call: Call) -> object:
    with torch.inference_mode():
        return launch_replay(call, CPU).run()


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (Call("aten.embedding.default", (dense(3, 4), dense(500, dtype=INT))), 3),
        (Call("aten.gather.default", (dense(9, 2), 1, dense(9, 500, dtype=INT))), 2),
        (Call("aten.gather.default", (dense(2, 3), -1, dense(2, 500, dtype=INT))), 3),
        (Call("aten.index_select.default", (dense(2, 9), 0, dense(500, dtype=INT))), 2),
        (Call("aten.take.default", (dense(2, 3), dense(500, dtype=INT))), 6),
        (Call("aten.take_along_dim.default", (dense(2, 9), dense(500, 9, dtype=INT), 0)), 2),
        (Call("aten.take_along_dim.default", (dense(2, 2), dense(500, dtype=INT))), 4),
        (Call("aten.index.Tensor", (dense(9, 2), (None, dense(500, dtype=INT)))), 2),
        (Call("aten.index_put_.default", (dense(2, 9), (dense(500, dtype=INT),), dense(500, 9))), 2),
        (Call("aten.scatter_.value", (dense(500, 2), 1, dense(500, 2, dtype=INT), 1.0)), 2),
        (Call("aten.scatter_add.default", (dense(2, 9), 0, dense(50, 9, dtype=INT), dense(50, 9))), 2),
        (Call("aten.index_add_.default", (dense(2, 9), 0, dense(50, dtype=INT), dense(50, 9))), 2),
        (Call("aten.index_copy.default", (dense(2, 9), 0, dense(50, dtype=INT), dense(50, 9))), 2),
        (Call("aten.index_fill_.int_Scalar", (dense(2, 9), 0, dense(50, dtype=INT), 1)), 2),
        (Call("aten.one_hot.default", (dense(50, dtype=INT), 3)), 3),
    ],
    ids=lambda value: value.op if isinstance(value, Call) else "",
)
def test_indices_stay_inside(call: Call, limit: int) -> None:
    """On a GPU one index beyond the end breaks the CUDA context, and all that follows with it."""
    _run(call)
    args, _ = make_operands(call, CPU, generator())
    indices = [t for t in tree_leaves(args) if isinstance(t, torch.Tensor) and t.dtype == torch.int64]
    assert {int(value) for tensor in indices for value in tensor.flatten()} == set(range(limit))


def test_a_boolean_mask_is_refused() -> None:
    call = Call("aten.index.Tensor", (dense(4), (dense(4, dtype="bool"),)))
    with pytest.raises(Untraceable, match="depends on data"):
        make_operands(call, CPU, generator())


@pytest.mark.parametrize("op", ["aten._grouped_mm.default", "transformers.grouped_mm_fallback.default"])
def test_experts_are_loaded_evenly(op: str) -> None:
    call = Call(op, (dense(10, 4), dense(4, 4, 8), dense(4, dtype="int32")))
    args, _ = make_operands(call, CPU, generator())
    assert args[2].tolist() == [2, 5, 7, 10]


def test_arguments_that_are_no_tensors() -> None:
    options = (("dtype", "torch.bfloat16"), ("device", "device"), ("layout", "torch.strided"), ("pin_memory", False))
    args, kwargs = make_operands(Call("aten.ones.default", ((2, 3),), options), CPU, generator())
    assert args == [[2, 3]]
    assert kwargs == {"dtype": torch.bfloat16, "device": CPU, "layout": torch.strided, "pin_memory": False}
    args, kwargs = make_operands(Call("aten.gelu.default", (dense(2),), (("approximate", "tanh"),)), CPU, generator())
    assert kwargs == {"approximate": "tanh"}
    source = generator()
    assert make_operands(Call("aten.rand.default", ((2,),), (("generator", "generator"),)), CPU, source)[1] == {
        "generator": source
    }


def test_unknown_operators() -> None:
    with pytest.raises(BadInput, match=r"'aten.nothing.default' does not exist in torch"):
        resolve_operator("aten.nothing.default")


@pytest.mark.parametrize("op", ["aten.from_file.default", "aten.set_grad_enabled.default", "aten.manual_seed.default"])
def test_operators_that_touch_files_or_switches_are_not_run(op: str) -> None:
    """`from_file` makes the file that its first argument names, however long the third says."""
    with pytest.raises(BadInput, match="computes no tensor, or reads a file"):
        resolve_operator(op)
