"""Times of single kernels on other GPUs beside what is predicted from the spec sheet alone, and beside baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from calls import bmm, causal_attention, linear, rows_of

from irene.arrays import FloatArray
from irene.hardware import load_device
from irene.leaves.least_time import least_duration_s
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer
from irene.primitives import Call

# Tables of products: file and device. Below 20 us launches decide, and tables of one GPU differ by more than is asked.
PRODUCTS = {"a100_sxm": "a100-sxm-80gb", "h100_sxm": "h100-sxm", "l40s": "l40s"}
FLOAT32 = {"v100": "v100-sxm2-32gb", "a100-pcie-80gb": "a100-pcie-80gb", "h100-sxm": "h100-sxm", "l4": "l4"}
# Hopper's attention kernels are of the family that was measured (warp-specialised, TMA); FA2 on older chips is not.
ATTENTION = {"a100_sxm": "a100-sxm-80gb", "h100_sxm": "h100-sxm", "l40s": "l40s"}
_COPIES = 6  # of the weights, that NVIDIA's loop goes round
_FILLED_BELOW = 51_200  # rows or columns of weights: larger ones may have run on memory that nobody filled
_SHORTEST_S = {"products": 20e-6, "float32": 100e-6, "attention": 20e-6}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Calls of one GPU with their measured seconds; `is_burst_or_loop` where it is not known which of both they are."""

    name: str
    device: str
    calls: list[Call]
    dtype: str
    cold: Sequence[bool]
    measured_s: FloatArray
    is_burst_or_loop: bool = False


def read_products(folder: Path, most: int) -> Iterator[Table]:
    """Products in bfloat16; `most` rows a GPU, drawn with one seed."""
    for file, device in PRODUCTS.items():
        table = pd.read_parquet(folder / f"products-bf16-{file}.parquet")
        table = _draw(table[(table.n < _FILLED_BELOW) & (table.k < _FILLED_BELOW)], "products", most)
        calls = [linear(m, n, k, "bfloat16") for m, n, k in zip(table.m, table.n, table.k, strict=True)]
        weights_bytes = 2.0 * table.n * table.k
        cold = (_COPIES * weights_bytes > load_device(device).l2_bytes).tolist()
        yield Table(f"products bf16, {device}", device, calls, "bfloat16", cold, table.duration_s.to_numpy(), True)


def read_float32(folder: Path, most: int) -> Iterator[Table]:
    """Products and passes in float32, TF32 off."""
    for file, device in FLOAT32.items():
        table = pd.read_parquet(folder / f"kernels-fp32-{file}.parquet")
        products = _draw(table[table.op.isin(["linear", "bmm"])], "float32", most)
        calls = [_float32_product(*case) for case in products[["op", "b", "m", "n", "k"]].itertuples(index=False)]
        seen_s = products.duration_s.to_numpy()
        yield Table(f"products fp32, {device}", device, calls, "float32", [True] * len(calls), seen_s)
        passes = _draw(table[table.h.notna()], "float32", most)
        found = [rows_of(op, int(b), int(h)) for op, b, h in zip(passes.op, passes.b, passes.h, strict=True)]
        known = [call for call in found if call is not None]
        seen_s = passes.duration_s[[call is not None for call in found]].to_numpy()
        if known:
            yield Table(f"passes fp32, {device}", device, known, "float32", [False] * len(known), seen_s)


def read_attention(folder: Path, most: int) -> Iterator[Table]:
    """Causal prefill attention from 512 tokens on, each framework's kernel a table; heads that PyTorch takes."""
    for file, device in ATTENTION.items():
        table = pd.read_parquet(folder / f"attention-prefill-16bit-{file}.parquet")
        table = _draw(table[(table.isl >= 512) & (table.head_dim <= 256)], "attention", most)
        columns = ["batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"]
        for kernel, rows in table.groupby("kernel_source", sort=False):
            calls = [causal_attention(*map(int, case)) for case in rows[columns].itertuples(index=False)]
            name = f"prefill attention, {device}, {kernel}"
            yield Table(name, device, calls, "bfloat16", [False] * len(calls), rows.duration_s.to_numpy())


def judge_products(folder: Path, measured: Predictor, most: int) -> pd.DataFrame:
    return pd.concat([_judge(table, measured) for table in read_products(folder, most)])


def judge_float32(folder: Path, measured: Predictor, most: int) -> pd.DataFrame:
    return pd.concat([_judge(table, measured) for table in read_float32(folder, most)])


def judge_attention(folder: Path, measured: Predictor, most: int) -> pd.DataFrame:
    return pd.concat([_judge(table, measured) for table in read_attention(folder, most)])


def _float32_product(op: str, b: int, m: float, n: float, k: float) -> Call:
    if op == "linear":
        return linear(int(b * m), int(n), int(k), "float32")
    return bmm(int(b), int(m), int(n), int(k), "float32")


def _draw(table: pd.DataFrame, what: str, most: int) -> pd.DataFrame:
    table = table[table.duration_s > _SHORTEST_S[what]]
    return table.sample(min(most, len(table)), random_state=0)


def _judge(table: Table, measured: Predictor) -> pd.DataFrame:
    spec, dtypes = load_device(table.device), [table.dtype] * len(table.calls)
    weights = ["cold" if is_cold else "hot" for is_cold in table.cold]
    here = transfer(measured, spec).predict_primitives(table.calls, dtypes, weights)
    there = measured.predict_primitives(table.calls, dtypes, weights)
    least_s = [least_duration_s(call, table.dtype, spec) + spec.kernel_floor_s for call in table.calls]
    return pd.DataFrame({
        "set": table.name, "architecture": spec.kernel_library, "measured_s": table.measured_s,
        "predicted_s": here.duration_s, "between_s": np.sqrt(here.duration_s * here.burst_s), "burst_s": here.burst_s,
        "roofline_s": least_s, "same_s": there.burst_s,
    })  # fmt: skip
