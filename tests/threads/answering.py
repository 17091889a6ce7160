"""Six models and their predictions; what runs them at once; and what must not change meanwhile."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

import irene
from irene.model_tree.serialization import tree_to_json

Answer: TypeAlias = tuple[float, ...]
"""Joules, their interval, and seconds."""
Runner: TypeAlias = Callable[[Sequence[str]], list[Answer]]
WATCHED = (torch, torch.Tensor, torch.nn.functional, torch.nn.init, torch.autocast, nn.Module, nn.MultiheadAttention)
CHILD_S = 600.0  # a child that takes longer for its next answer hangs


class Own(nn.Module):
    """A module of the user's, in train mode, with constants, an index by a list, and a fused layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.tensor([1.0, 2.0], device=x.device).sum() > 2:
            x = self.layer(x)
        return x[:, [0, -1]]


OWN = Own()
SAVED: list[Path] = []  # a file with a tree; children are told of it
_MODELS: dict[str, Callable[[], Any]] = {
    "saved tree": lambda: irene.predict(str(SAVED[0])),
    "module": lambda: irene.predict(OWN, torch.zeros(2, 4, 16)),
    "bert": lambda: irene.predict("bert-tiny", batch_size=2, seq_len=16),
    "t5": lambda: irene.predict("t5-small", batch_size=2, seq_len=16, dtype="float32"),
    "gpt2": lambda: irene.predict("gpt2", batch_size=4, seq_len=64, task="causal-lm", dtype="float16"),
    "mixture": lambda: irene.predict("Qwen/Qwen1.5-MoE-A2.7B", batch_size=1, seq_len=32, execution="cuda_graph"),
}
NAMES = tuple(_MODELS)


def answer(name: str) -> Answer:
    """The prediction of one of NAMES."""
    p = _MODELS[name]()
    return (p.energy_j, *p.interval_j, p.duration_s)


def use_saved(path: Path) -> None:
    """Name the file of the saved tree: for children that are spawned."""
    SAVED[:] = [path]


def save_tree(folder: Path) -> Path:
    """Make that file."""
    path = folder / "tree.json"
    path.write_text(json.dumps(tree_to_json(irene.trace("gpt2", batch_size=2, seq_len=64))))
    use_saved(path)
    return path


def in_threads(count: int) -> Runner:
    def run(names: Sequence[str]) -> list[Answer]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(answer, names))

    return run


def in_asyncio(names: Sequence[str]) -> list[Answer]:
    async def run() -> list[Answer]:
        return list(await asyncio.gather(*(asyncio.to_thread(answer, name) for name in names)))

    return asyncio.run(run())


def in_processes(method: str, count: int = 2) -> Runner:
    """`method` is 'fork' or 'spawn'."""

    def run(names: Sequence[str]) -> list[Answer]:
        context = multiprocessing.get_context(method)
        with context.Pool(count, use_saved, (SAVED[0],)) as pool:  # ends its children, also those that hang
            found = pool.imap(answer, names)
            return [found.next(CHILD_S) for _ in names]

    return run


def in_joblib(backend: str) -> Runner:
    """`backend` is 'loky' or 'threading'."""

    def run(names: Sequence[str]) -> list[Answer]:
        import joblib  # type: ignore[import-untyped]

        return list(joblib.Parallel(2, backend=backend)(joblib.delayed(_told)(SAVED[0], name) for name in names))

    return run


def _told(path: Path, name: str) -> Answer:
    use_saved(path)
    return answer(name)


def surface() -> list[tuple[str, int]]:
    """What a patch of torch would change: attributes of what could be patched, global hooks, the default dtype."""
    seen = [(f"{owner}.{name}", id(value)) for owner in WATCHED for name, value in sorted(vars(owner).items())]
    hooks = nn.modules.module
    seen += [("hooks", len(hooks._global_forward_hooks) + len(hooks._global_forward_pre_hooks))]
    return [*seen, ("dtype", id(torch.get_default_dtype()))]


def state_of_own() -> dict[str, Any]:
    """What a trace could leave changed in the user's module: memory, devices, mode, hooks, attributes."""
    tensors = {name: (tensor.data_ptr(), str(tensor.device)) for name, tensor in OWN.state_dict().items()}
    parts = [(part.training, len(part._forward_hooks), sorted(vars(part))) for part in OWN.modules()]
    return {"tensors": tensors, "parts": parts}


@contextmanager
def training() -> Iterator[list[str]]:
    """Another thread trains a model meanwhile, and uses the user's; what it finds wrong is in the list."""
    wrong: list[str] = []
    stop = threading.Event()

    def train() -> None:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.TransformerEncoderLayer(8, 2, batch_first=True))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        while not stop.wait(0.002):  # leaves the others some of the processor
            y = model(torch.randn(2, 3, 4))[:, [0, 2]] * torch.tensor(2.0)
            optimizer.zero_grad()
            y.square().mean().backward()
            optimizer.step()
            used = OWN(torch.randn(2, 4, 16))
            with torch.autocast("cpu", torch.bfloat16):
                cast = torch.ones(2, 2) @ torch.ones(2, 2)
            if y.is_meta or y.dtype != torch.float32 or used.is_meta or cast.dtype != torch.bfloat16:
                wrong.append(f"training saw {y.dtype} on {y.device}, {used.device}, autocast {cast.dtype}")

    def guarded() -> None:
        try:
            train()
        except BaseException as error:
            wrong.append(f"training ended: {error!r}")

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join(60)


def ways() -> dict[str, Runner]:
    """Every way by name; those of joblib where it is installed."""
    found: dict[str, Runner] = {f"{count} threads": in_threads(count) for count in (1, 2, 4, 8)}
    found |= {
        "asyncio": in_asyncio,
        "forked processes": in_processes("fork"),
        "spawned processes": in_processes("spawn"),
    }
    try:
        import joblib  # noqa: F401
    except ImportError:
        return found
    return found | {"joblib, threads": in_joblib("threading"), "joblib, processes": in_joblib("loky")}
