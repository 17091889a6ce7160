"""The doors of the room: predict a model with a saved predictor, at one point or at many, and train one from rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.hardware.spec import DeviceSpec, load_device
from irene.model_tree.serialization import is_saved_tree, load_tree
from irene.model_tree.tree import ModelTree, Workload
from irene.predictor.bundle import load_bundle, save_bundle, shipped_bundle
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.sweep_values import Sweep
from irene.primitives.call import DTYPE_BYTES

_STORED_AS = {"tf32": "float32"}  # a setting, not a storage


def predict(
    model: Any,
    example_inputs: Any = None,
    *,
    batch_size: int = 1,
    seq_len: int | None = 128,
    decoder_seq_len: int | None = None,
    dtype: str = "bfloat16",
    device: str = "h200",
    task: str = "base",
    execution: str = "eager",
    new_tokens: int = 0,
    predictor: str | Path | Predictor | None = None,
    runtime: RuntimeFeatures | None = None,
) -> Prediction:
    """Predict energy and time of one forward pass, without the hardware.

    `model` is a bundled name, a hub id, a path (config or saved tree), a transformers config, a `ModelTree`, or a
    `torch.nn.Module` with `example_inputs`. A tree brings its own workload. `predictor` is a bundle that `irene train`
    wrote, or a loaded one; by default the one that comes with irene for the device. Where the model can be run, if
    not metered, `runtime` takes what was seen: time and clock, and of a mixture of experts how its routers dealt; the
    energy is then known to a few per cent.
    Raises BadInput and its kinds.

    >>> prediction = predict("bert-tiny", batch_size=8, execution="cuda_graph")
    >>> 0 < prediction.interval_j[0] < prediction.energy_j < prediction.interval_j[1]
    True
    """
    fitted = _find_predictor(predictor, device)
    if isinstance(model, str | Path) and is_saved_tree(model):
        model = load_tree(model)
    if isinstance(model, ModelTree):
        if new_tokens:
            raise BadInput("A saved tree is one forward pass; it cannot be predicted as a generation (new_tokens).")
        return fitted.predict(model, runtime)
    from irene.tracing import trace  # torch: not needed for a saved tree

    tree = trace(
        model, example_inputs, task=task, batch_size=batch_size, seq_len=seq_len, decoder_seq_len=decoder_seq_len,
        dtype=dtype, execution=execution, new_tokens=new_tokens,
    )  # fmt: skip
    _warn_if_too_large(tree.model, tree.root.parameters, tree.workload.dtype, fitted.spec)
    return fitted.predict(tree, runtime)


def sweep(
    model: Any,
    *,
    batch_sizes: Iterable[int] = (1,),
    seq_lens: Iterable[int] = (128,),
    decoder_seq_len: int | None = None,
    dtype: str = "bfloat16",
    device: str = "h200",
    task: str = "base",
    execution: str = "eager",
    predictor: str | Path | Predictor | None = None,
) -> Sweep:
    """Predict every combination of batch sizes and lengths: what `predict` says of each, in a hundredth of the time.

    `model` is a bundled name, a hub id, the path of a config, or a transformers config. Points come batch after batch.
    `decoder_seq_len` holds for all points; left out, it is each point's `seq_len`. Of images the config fixes the
    size: there is then one point a batch. Raises BadInput and its kinds.

    >>> grid = sweep("bert-tiny", batch_sizes=[1, 8], seq_lens=[64, 100, 128])
    >>> grid.to_frame()[["batch_size", "seq_len"]].values.tolist()[-1], bool(grid.values.energy_j[-1] > 0)
    ([8, 128], True)
    """
    fitted = _find_predictor(predictor, device)
    batches, lengths = dict.fromkeys(batch_sizes), dict.fromkeys(seq_lens)
    if not batches or not lengths:
        raise BadInput("A sweep needs at least one batch size and one sequence length (batch_sizes, seq_lens).")
    from irene.predictor.sweeping import predict_grid
    from irene.tracing.grid import trace_grid
    from irene.tracing.recording import without_collections

    asked = [Workload(b, n, decoder_seq_len, dtype, task, execution) for b in batches for n in lengths]
    with without_collections():
        grid = trace_grid(model, asked)
        _warn_if_too_large(grid.model, grid.parameters, dtype, fitted.spec)
        values = predict_grid(fitted, grid)
    return Sweep(grid.model, fitted.spec.name, fitted.info, grid.workloads, values, grid.traced, grid.checked)


def _find_predictor(predictor: str | Path | Predictor | None, device: str) -> Predictor:
    name = load_device(device).name
    fitted = predictor if isinstance(predictor, Predictor) else _load(Path(predictor or shipped_bundle(name)))
    if fitted.spec.name != name:
        raise UnknownName("device", device, [fitted.spec.name], hint="That predictor was trained for another device.")
    return fitted


def _warn_if_too_large(model: str, parameters: int, dtype: str, spec: DeviceSpec) -> None:
    """Warn where the weights alone do not fit into the device: the number is one that nobody can measure."""
    weight_bytes = parameters * DTYPE_BYTES[_STORED_AS.get(dtype, dtype)]
    if weight_bytes > spec.memory_bytes:
        warnings.warn(
            f"{model}: {weight_bytes / 1e9:.0f} GB of weights do not fit into the "
            f"{spec.memory_bytes / 1e9:.0f} GB of one {spec.name}; the prediction is for one that could hold them.",
            stacklevel=3,
        )


def train(dataset_dir: str | Path, output: str | Path, *, device: str = "h200") -> Path:
    """Fit a predictor on every row below a directory, but for the reserved families, and save it as a bundle.

    The same rows give the same bytes, in whatever order. Returns the folder. Raises BadDataset, or BadInput where the
    bundle cannot be written.
    """
    from irene.dataset.families import reserved_families
    from irene.dataset.store import load_rows
    from irene.leaves.survey import gather_survey
    from irene.predictor.training import fit

    rows = load_rows(dataset_dir)
    survey = gather_survey(dataset_dir, rows, load_device(device))
    reserved = reserved_families()
    is_reserved = rows["families"].map(lambda families: set(families.split(",")) <= reserved)
    return save_bundle(fit(rows[~is_reserved], device=device, survey=survey), output)


def _load(folder: Path) -> Predictor:
    """Load each bundle once, and again when its file changes."""
    path = folder / "bundle.json" if folder.is_dir() else folder
    return _load_once(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _load_once(path: Path, changed_ns: int) -> Predictor:
    return load_bundle(path)
