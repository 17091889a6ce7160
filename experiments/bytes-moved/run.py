"""Counted bytes of ten kinds of primitive against the bytes that the GPU really moved in the time that they took.

    python experiments/bytes-moved/run.py [--device cuda] [--output FOLDER] [--megabytes 512]

The bandwidth is that of a device copy of the same size, measured by the same loop. Bytes moved = time x bandwidth: an
upper bound, since a kernel may also wait for something else than memory. Writes `bytes.csv`.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import irene
from irene.primitives import count_work

F = torch.nn.functional


class Running(torch.nn.Module):
    """A function as a module, so that it can be traced like any other."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(*args)


def build_cases(megabytes: int, device: torch.device) -> dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]]:
    """Ten primitives over operands of that size, bfloat16; every operand is far larger than the L2."""
    elements = megabytes * 500_000
    width = 4096
    rows = elements // width

    def made(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    x, y, scale = made(rows, width), made(rows, width), made(width)
    table, ids = made(200_000, 1024), torch.randint(0, 200_000, (elements // 1024,), device=device)
    image = made(rows // 196 or 1, 16, 196, 256)
    keys = made(max(elements // (32 * 4096 * 128), 1), 32, 4096, 128)
    query = made(keys.shape[0], 32, 1, 128)
    return {
        "add": (torch.add, (x, y)),
        "add, broadcast row": (torch.add, (x, scale)),
        "gelu": (F.gelu, (x,)),
        "mul, in place": (lambda a: a.mul_(1.0), (x,)),
        "softmax": (lambda a: a.softmax(-1), (x,)),
        "layer_norm": (lambda a, w: F.layer_norm(a, (width,), w, w), (x, scale)),
        "rms_norm": (lambda a, w: F.rms_norm(a, (width,), w), (x, scale)),
        "mean of rows": (lambda a: a.mean(-1), (x,)),
        "to float32": (lambda a: a.to(torch.float32), (x,)),
        "cat": (lambda a, b: torch.cat([a, b], -1), (x, y)),
        "transpose + contiguous": (lambda a: a.transpose(1, 2).contiguous(), (image,)),
        "expand + contiguous": (lambda a: a[:, None].expand(-1, 4, -1).contiguous(), (x[: rows // 4],)),
        "embedding": (F.embedding, (ids, table)),
        "linear, 1 row": (F.linear, (made(1, width), x)),
        "linear, 16 rows": (F.linear, (made(16, width), x)),
        "attention, 1 query": (F.scaled_dot_product_attention, (query, keys, keys.clone())),
    }


def measure_s(call: Callable[[], Any], device: torch.device, at_least_s: float = 0.3) -> float:
    """Seconds of one call: median over bursts, back to back, timed on the device."""
    call()
    start_s = time.perf_counter()
    durations_s: list[float] = []
    while len(durations_s) < 5 or time.perf_counter() - start_s < at_least_s:
        durations_s.append(_burst_s(call, device))
    return statistics.median(durations_s)


def _burst_s(call: Callable[[], Any], device: torch.device, calls: int = 10) -> float:
    if device.type != "cuda":
        start_s = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start_s) / calls
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / calls


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, help="folder for bytes.csv")
    parser.add_argument("--megabytes", type=int, default=512)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    rows = []
    with torch.inference_mode():
        source = torch.randn(arguments.megabytes * 500_000, device=device, dtype=torch.bfloat16)
        target = torch.empty_like(source)
        copy_s = measure_s(lambda: target.copy_(source), device)
        bandwidth = 2 * source.numel() * source.itemsize / copy_s
        for name, (function, inputs) in build_cases(arguments.megabytes, device).items():
            tree = irene.trace(Running(function), inputs)
            counted_bytes = sum(count_work(leaf.call).traffic_bytes for leaf in tree.root.leaves if leaf.call)
            duration_s = measure_s(lambda f=function, i=inputs: f(*i), device)
            moved_bytes = duration_s * bandwidth
            rows.append({
                "primitive": name,
                "shapes": " ".join("x".join(str(size) for size in t.shape) for t in inputs),
                "counted_bytes": counted_bytes, "duration_s": f"{duration_s:.6e}", "moved_bytes": round(moved_bytes),
                "moved_over_counted": f"{moved_bytes / counted_bytes:.3f}",
            })  # fmt: skip
            print(f"{name:26s} {rows[-1]['moved_over_counted']}", file=sys.stderr, flush=True)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(f"{gpu}, torch {torch.__version__}: a copy moves {bandwidth / 1e12:.3f} TB/s", file=sys.stderr)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        with open(arguments.output / "bytes.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "bandwidth_bytes_per_s", "gpu", "torch"], lineterminator="\n")
            writer.writeheader()
            about = {"bandwidth_bytes_per_s": f"{bandwidth:.5e}", "gpu": gpu, "torch": torch.__version__}
            writer.writerows(row | about for row in rows)


if __name__ == "__main__":
    main()
