"""Several threads at once: each prediction is the serial one, and nobody else's torch is touched."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig

import irene
from irene.model_tree.tree import ModelTree
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.default_dtype import _DefaultDtype
from tests.tracing.tiny_models import tiny_config

WATCHED = (torch, torch.Tensor, torch.nn.functional, torch.nn.init, nn.MultiheadAttention, nn.TransformerEncoderLayer)


class Constants(nn.Module):
    """Constants, an index by a list, a fused layer, and a question that constants answer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.tensor([1.0, 2.0], device=x.device).sum() > 2:
            x = self.layer(x)
        return x[:, [0, -1]]


SHARED = Constants()
MODELS: dict[str, Callable[[], ModelTree]] = {
    "bert": lambda: trace(tiny_config("bert"), batch_size=2, seq_len=16, dtype="bfloat16"),
    "t5": lambda: trace(tiny_config("t5"), batch_size=2, seq_len=16, dtype="float32"),
    "mixtral": lambda: trace(tiny_config("mixtral"), batch_size=2, seq_len=16, dtype="float16"),
    "linear": lambda: trace(nn.Linear(8, 8), torch.zeros(3, 8)),
    "shared": lambda: trace(SHARED, torch.zeros(2, 4, 16)),
    "fused": lambda: trace(nn.TransformerEncoderLayer(16, 2, batch_first=True), torch.zeros(2, 4, 16)),
}


@pytest.fixture(scope="module")
def serial() -> dict[str, ModelTree]:
    return {name: run() for name, run in MODELS.items()}


def surface() -> list[tuple[str, int]]:
    """What a patch of torch would change: every attribute of what used to be patched, and global hooks and dtypes."""
    seen = [(f"{owner}.{name}", id(value)) for owner in WATCHED for name, value in sorted(vars(owner).items())]
    hooks = nn.modules.module
    seen += [("hooks", len(hooks._global_forward_hooks) + len(hooks._global_forward_pre_hooks))]
    name = torch.utils.backend_registration._privateuse1_backend_name
    return [*seen, ("dtype", id(torch.get_default_dtype())), ("backend", id(name))]


@contextmanager
def training() -> Iterator[list[str]]:
    """Another thread trains a model meanwhile and looks at torch; what it finds wrong is in the list."""
    wrong: list[str] = []
    stop = threading.Event()
    before = surface()

    def train() -> None:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.TransformerEncoderLayer(8, 2, batch_first=True))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        while not stop.is_set():
            x = torch.randn(2, 3, 4)
            y = model(x)[:, [0, 2]] * torch.tensor(2.0)
            optimizer.zero_grad()
            y.square().mean().backward()
            optimizer.step()
            SHARED(torch.randn(2, 4, 16))
            if surface() != before or y.is_meta or y.dtype != torch.float32:
                wrong.extend(name for (name, _), old in zip(surface(), before, strict=True) if (name, _) != old)
                wrong.append("patched")

    def guarded() -> None:
        try:
            train()
        except BaseException as error:
            wrong.append(repr(error))

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join(60)


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_trace_as_one_does_while_another_trains(serial: dict[str, ModelTree], threads: int) -> None:
    before, state = surface(), {name: t.data_ptr() for name, t in SHARED.state_dict().items()}
    names = list(MODELS) * 2
    with training() as wrong, ThreadPoolExecutor(threads) as pool:
        trees = list(pool.map(lambda name: MODELS[name](), names))
    assert not wrong
    assert [name for name, tree in zip(names, trees, strict=True) if tree != serial[name]] == []
    assert surface() == before
    assert {name: t.data_ptr() for name, t in SHARED.state_dict().items()} == state and SHARED.training


def test_asyncio_traces_as_one_does(serial: dict[str, ModelTree]) -> None:
    async def trace_all() -> list[ModelTree]:
        return list(await asyncio.gather(*(asyncio.to_thread(run) for run in MODELS.values())))

    assert asyncio.run(trace_all()) == list(serial.values())


def test_predictions_and_sweeps_in_threads_are_the_serial_ones(shipped: Any) -> None:
    def predict(batch: int) -> tuple[float, float]:
        config = tiny_config("bert")
        grid = irene.sweep(config, batch_sizes=[1, batch], seq_lens=[8, 16], predictor=shipped)
        return irene.predict(config, batch_size=batch, seq_len=16, predictor=shipped).energy_j, float(
            grid.values.energy_j.sum()
        )

    alone = [predict(batch) for batch in range(2, 8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predict, range(2, 8))) == alone


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_build_leaves_the_dtype_of_the_process_alone(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []
    monkeypatch.setattr(torch, "set_default_dtype", asked.append)
    model = build_model(tiny_config("llama"), "base", dtype, "meta")
    assert {p.dtype for p in model.parameters()} == {dtype} and not asked
    assert model.rotary_emb.inv_freq.dtype == torch.float32


def test_a_build_fills_what_is_there_alone() -> None:
    with _DefaultDtype(torch.bfloat16):
        here, on_meta = torch.zeros(4, 4), torch.zeros(4, 4, device="meta")
        for fill in (torch.nn.init.kaiming_uniform_, torch.nn.init.normal_, torch.nn.init.uniform_):
            assert fill(on_meta) is on_meta and on_meta.dtype == torch.bfloat16
            before = here.clone()
            fill(here)
            assert not torch.equal(here, before)


def test_a_build_minds_no_switch_of_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that builds in float16, say: a weight is made while that holds, and looked at when it does no more."""
    answers = iter([torch.float16, torch.float32])
    torch.set_default_dtype(torch.float16)
    monkeypatch.setattr(torch, "get_default_dtype", lambda: next(answers))
    try:
        with _DefaultDtype(torch.bfloat16):
            weight = torch.zeros(2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert weight.dtype == torch.bfloat16


def test_threads_that_begin_at_once_load_the_library_once() -> None:
    code = (
        "import threading, irene; out = []\n"
        "def run(name):\n    out.append(irene.trace(name, seq_len=8).root.parameters)\n"
        "names = ['bert-tiny', 'bert-mini', 't5-small', 'gpt2', 'bert-small', 'distilbert-base-uncased']\n"
        "threads = [threading.Thread(target=run, args=(name,)) for name in names]\n"
        "[t.start() for t in threads]; [t.join(60) for t in threads]; print(len(out))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "6", done.stderr[-2000:]


def test_weights_that_ask_for_no_device_have_the_dtype_of_the_model() -> None:
    xlnet = AutoConfig.for_model("xlnet", vocab_size=99, d_model=32, n_layer=1, n_head=4, d_inner=64)
    for config in (xlnet, tiny_config("bert")):
        model = build_model(config, "base", torch.bfloat16, "meta")
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert trace(xlnet, seq_len=8).root.parameters > 0
