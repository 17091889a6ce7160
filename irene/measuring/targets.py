"""Models and modules as things to call on the GPU: built, fed, eager or captured, and traced as they really run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from irene.errors import BadInput, MeterError
from irene.measuring.expert_routing import ExpertLoads, has_experts, watch_expert_loads
from irene.measuring.plan import GenerationCase, ModelCase
from irene.measuring.replaying import refusing_to_wait
from irene.measuring.settling import SETTLING_BATCH, batch_norms, settle_batch_norms
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs, check_positions, torch_dtype
from irene.tracing.recording import record_call
from irene.tracing.sources import load_config
from irene.tracing.tracer import describe_inputs, trace_versions

_Case = TypeVar("_Case", ModelCase, GenerationCase, ModelCase | GenerationCase)


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model on the GPU with random weights by the library's own initialisation."""

    name: str
    dtype: str
    module: torch.nn.Module
    config: Any

    @property
    def attention_implementation(self) -> str:
        return str(getattr(self.config, "_attn_implementation", ""))


@dataclass(frozen=True, slots=True)
class Target:
    """One callable case: `run()` makes one call without waiting for the device.

    `loads` are how its routers load experts: None without a grouped product.
    """

    run: Callable[[], object]
    tree: ModelTree
    name: str
    loads: ExpertLoads | None = None


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """What the allocator had given out before a call, and at most during it, in bytes."""

    before_bytes: int
    peak_bytes: int


def set_precision(dtype: str) -> None:
    """float32 means TF32 off everywhere, tf32 on everywhere."""
    allow = dtype == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = allow
    torch.backends.cudnn.allow_tf32 = allow


def build(name: str, task: str, dtype: str, device: torch.device, seed: int) -> BuiltModel:
    """The model of a name and task on the device, its weights drawn with `seed`."""
    torch.manual_seed(seed)
    config = load_config(name)
    module = build_model(config, task, torch_dtype(dtype), str(device))
    return BuiltModel(name, dtype, module, module.config)


def prepare(built: BuiltModel, case: ModelCase, device: torch.device, seed: int) -> Target:
    """Make a case callable; its tree is recorded from one real call on this device."""
    check_positions(built.config, case.workload)
    main_input_name = str(built.module.main_input_name)
    inputs: dict[str, Any] = build_inputs(built.config, main_input_name, case.workload, device, seed)
    workload = describe_inputs(case.workload, inputs)
    if batch_norms(built.module):
        few = replace(case.workload, batch_size=SETTLING_BATCH)
        settle_batch_norms(built.module, build_inputs(built.config, main_input_name, few, device, seed))
    module, args = built.module, ()
    if case.path:
        module, args, inputs = _capture_inputs(built.module, case.path, inputs)
    root = record_call(module, args, inputs)
    tree = ModelTree(root, built.name, workload, trace_versions())

    def run() -> object:
        return module(*args, **inputs)

    loads = watch_expert_loads(run) if has_experts(root) else None
    return Target(captured_if_asked(run, workload, device), tree, root.type, loads)


def captured_if_asked(run: Callable[[], object], workload: Workload, device: torch.device) -> Callable[[], object]:
    """`run` itself, or a replay of its captured graph where the workload's execution is 'cuda_graph'."""
    if workload.execution != "cuda_graph":
        return run
    graph = capture(run, device)

    def replay(_keep: object = run) -> None:  # the graph reads the inputs: keep them, and so the routers' choices
        graph.replay()

    return replay


def capture(
    call: Callable[[], object], device: torch.device, calls: int = 1, errors: str = "global"
) -> torch.cuda.CUDAGraph:
    """Capture one call, or several in one graph; raises MeterError if it waits for the device, which no graph can hold.

    `errors` is torch's capture_error_mode: NCCL's own thread asks the driver while a graph is captured.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.inference_mode(), as_if_not_capturing():
            with torch.cuda.stream(stream):
                with refusing_to_wait():  # a capture that fails breaks torch's allocator and its random numbers
                    call()
                for _ in range(2):
                    call()
            torch.cuda.synchronize(device)
            with torch.cuda.graph(graph, stream=stream, capture_error_mode=errors):
                for _ in range(calls):
                    call()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise MeterError(f"not capturable in a CUDA graph: {str(error).splitlines()[0][:200]}") from None
    return graph


@contextlib.contextmanager
def as_if_not_capturing() -> Iterator[None]:
    """Make the capture test of `transformers` say no, so that a graph holds the kernels of eager.

    While capturing it takes itself for traced, builds explicit masks, and attention falls to a slower kernel.
    """
    from transformers.utils import import_utils

    original = import_utils.is_cuda_stream_capturing
    import_utils.is_cuda_stream_capturing = lambda: False
    try:
        yield
    finally:
        import_utils.is_cuda_stream_capturing = original


def _capture_inputs(
    model: torch.nn.Module, path: str, inputs: dict[str, Any]
) -> tuple[torch.nn.Module, Any, dict[str, Any]]:
    """The module at `path` and the arguments of its first call in a real forward pass."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in model.named_modules()]
        raise BadInput(f"{type(model).__name__} has no module {path!r}; it has, for example, {names[1:6]}.") from None
    caught: list[tuple[Any, dict[str, Any]]] = []

    def keep(_: object, args: Any, kwargs: dict[str, Any]) -> None:
        if not caught:
            caught.append((_clone(args), _clone(kwargs)))

    hook = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.inference_mode():
            model(**inputs)
    finally:
        hook.remove()
    if not caught:
        raise BadInput(f"Module {path!r} is not called in a forward pass of this model.")
    return module, *caught[0]


def _clone(value: Any) -> Any:
    """Copies of tensors; a key-value cache is left out (it would grow with every call)."""
    if hasattr(value, "get_seq_length"):
        return None
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(_clone(item) for item in value)
    if isinstance(value, dict):
        return {name: _clone(item) for name, item in value.items()}
    return value


def count_kernels(run: Callable[[], object], device: torch.device) -> dict[str, int]:
    """Names and counts of the GPU kernels of one call, by the profiler."""
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode(), profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize(device)
    counts: dict[str, int] = {}
    for event in profiler.events() or ():
        if str(event.device_type).endswith("CUDA") and not event.name.startswith(("Memset", "Memcpy")):
            counts[event.name] = counts.get(event.name, 0) + 1
    return counts


def measure_peak_memory(run: Callable[[], object], device: torch.device) -> PeakMemory:
    """By the CUDA allocator, over one call; what libraries take past it is not in it."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before_bytes = torch.cuda.memory_allocated(device)
    with torch.inference_mode():
        run()
    torch.cuda.synchronize(device)
    return PeakMemory(before_bytes, torch.cuda.max_memory_allocated(device))


def with_execution(case: _Case, execution: str) -> _Case:
    """The same case in another execution."""
    return replace(case, workload=replace(case.workload, execution=execution))
