"""Calls, trees and measured rows that follow a law written here: a predictor fitted on them must find it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from irene.dataset.schema import Row
from irene.model_tree.serialization import compress_tree
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec

HOST_COST_S = {"aten.linear.default": 20e-6, "aten.gelu.default": 10e-6, "aten.view.default": 3e-6}
MODULE_CALL_S = 2e-6
HOST_FACTOR = 1.5
IDLE_W, CAP_W = 120.0, 700.0
EAGER_ENERGY = 1.1  # what the same kernels cost in a model, over what they cost alone


def tensor(shape: Sequence[int], dtype: str = "bfloat16", weight: bool = False) -> TensorSpec:
    stride, strides = 1, []
    for size in reversed(shape):
        strides.insert(0, stride)
        stride *= size
    return TensorSpec(tuple(shape), tuple(strides), dtype, weight)


def linear(m: int, n: int, k: int, dtype: str = "bfloat16") -> Call:
    operands = (tensor((m, k), dtype), tensor((n, k), dtype, weight=True))
    return Call("aten.linear.default", operands, (), (tensor((m, n), dtype),))


def grouped(mean_rows: int, experts: int = 8, columns: int = 4096, op: str = "aten._grouped_mm.default") -> Call:
    """The product of experts that get `mean_rows` rows each on average."""
    x = TensorSpec((mean_rows * experts, 1024), (1024, 1), "bfloat16")
    weight = TensorSpec((experts, 1024, columns), (1024 * columns, 1, 1024), "bfloat16", weight=True)
    ends = TensorSpec((experts,), (1,), "int32")
    y = TensorSpec((mean_rows * experts, columns), (columns, 1), "bfloat16")
    return Call(op, (x, weight, ends), (), (y,))


def gelu(rows: int, width: int, dtype: str = "bfloat16") -> Call:
    x = tensor((rows, width), dtype)
    return Call("aten.gelu.default", (x,), (), (x,))


def attention(length: int, causal: bool = False, mask: TensorSpec | None = None, dtype: str = "bfloat16") -> Call:
    q = tensor((8, 12, length, 64), dtype)
    return Call("aten.scaled_dot_product_attention.default", (q, q, q, mask, 0.0, causal), (), (q,))


VIEW = Call("aten.view.default", (tensor((64, 64)), (4096,)), (), (tensor((4096,)),), is_view=True)
UNKNOWN = Call("mystery.op.default", (tensor((4096, 4096)),), (), (tensor((4096, 4096)),))


def leaf(call: Call, index: int = 0, path: str = "", weights: tuple[int, ...] = ()) -> Node:
    return Node("primitive", path, call.op, (), call, index, 0, weights)


def tree_of(calls: Sequence[Call], execution: str = "eager", dtype: str = "bfloat16", model: str = "made") -> ModelTree:
    """Each two calls in a module of their own, under the root; every call has a weight of its own."""
    modules = []
    for at in range(0, len(calls), 2):
        path = f"block{at // 2}"
        own = tuple(leaf(call, i, path, (at + i,)) for i, call in enumerate(calls[at : at + 2]))
        modules.append(Node("module", path, "Block", own))
    workload = Workload(batch_size=1, seq_len=8, dtype=dtype, task="base", execution=execution)
    return ModelTree(Node("model", "", "Net", tuple(modules)), model, workload)


def law_s(call: Call) -> float:
    """Half of peak, two thirds of bandwidth, 2 us on top."""
    out = call.outputs[0]
    if call.name == "linear":
        x, weight = call.tensors
        flop, moved = 2 * out.numel * x.shape[-1], x.bytes + weight.bytes + out.bytes
    else:
        flop, moved = 0, 2 * out.bytes
    peak = 5e14 if out.dtype == "bfloat16" else 3.3e13
    return max(flop / peak, moved / 3.2e12) + 2e-6


def law_w(call: Call) -> float:
    """Power grows with how much of the time is work: from 200 W for nothing but launches to 600 W."""
    return 200.0 + 400.0 * (1.0 - 2e-6 / law_s(call))


def law_calls() -> list[Call]:
    """40 products and 40 activations, each on a grid that covers three decades."""
    calls = [
        linear(m, n, 1024, dtype)
        for dtype in ("bfloat16", "float32")
        for m in (128, 512, 2048, 8192)
        for n in (256, 768, 1280, 3072, 8192)
    ]
    calls += [gelu(2**p, w, dtype) for dtype in ("bfloat16", "float32") for p in range(3, 13) for w in (1024, 4096)]
    return calls


def law_rows() -> pd.DataFrame:
    """Primitives timed and metered, and six models of them in both executions, with the host's costs."""
    rows = []
    for number, call in enumerate(law_calls()):
        dtype = call.outputs[0].dtype
        common: dict[str, Any] = {
            "case": f"{dtype}|hot|{call.signature}", "level": "primitive", "name": call.name, "families": "grid",
            "dtype": dtype, "execution": "cuda_graph", "signature": call.signature, "collection": "made",
        }  # fmt: skip
        duration_s = law_s(call)
        rows.append(Row(**common, method="events", duration_s=duration_s))
        for repeat, off in enumerate((0.99, 1.0, 1.3)):  # the median is the law
            power_w = law_w(call) * off
            if number % 10 and repeat:
                continue
            power_w = power_w if number % 10 == 0 else law_w(call)
            energy_j = power_w * duration_s
            rows.append(
                Row(**common, method="window", duration_s=duration_s, energy_j=energy_j, power_w=power_w, repeat=repeat)
            )
    for number, family in enumerate(("bert", "gpt2", "opt")):
        for size in (64, 4096):  # host-bound, GPU-bound
            calls = [linear(size, 768 * (number + 1), 1024), gelu(size, 4096), VIEW, linear(size, 1280, 1024)] * 6
            for execution in ("eager", "cuda_graph"):
                rows.append(whole_row(calls, family, f"{family}-{size}", execution))
    frame = pd.DataFrame([row.to_dict() for row in rows])
    frame.attrs |= {"host_costs_s": dict(HOST_COST_S), "module_call_s": MODULE_CALL_S}
    return frame


def whole_row(calls: Sequence[Call], family: str, model: str, execution: str) -> Row:
    launching = [call for call in calls if call != VIEW]
    gpu_s, host_s = sum(map(law_s, launching)), 0.0
    energy_j = EAGER_ENERGY * sum(law_s(call) * law_w(call) for call in launching)
    if execution == "eager":
        host_s = HOST_FACTOR * (sum(HOST_COST_S[call.op] for call in calls) + MODULE_CALL_S * (len(calls) // 2 + 1))
        energy_j += IDLE_W * max(host_s - gpu_s, 0.0)
    duration_s = max(gpu_s, host_s)
    tree = compress_tree(tree_of(calls, execution, model=model))
    return Row(
        case=f"{model}|{execution}", level="model", name="Net", families=family, dtype="bfloat16", execution=execution,
        method="window", duration_s=duration_s, energy_j=energy_j, power_w=energy_j / duration_s, model=model,
        gpu_utilization_pct=100.0 * gpu_s / duration_s, memory_utilization_pct=30.0, sm_clock_hz=1.98e9,
        collection="made", tree=tree,
    )  # fmt: skip
