"""The two doors of the room: predict a model with a saved predictor, and train one from measured rows."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.hardware.spec import DeviceSpec, load_device
from irene.model_tree.serialization import is_saved_tree, load_tree
from irene.model_tree.tree import ModelTree
from irene.predictor.bundle import load_bundle, save_bundle, shipped_bundle
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeFeatures
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
    not metered, `runtime` takes what was seen: time, utilisation and clock; the energy is then known to a few per cent.
    Raises BadInput and its kinds.

    >>> prediction = predict("bert-tiny", batch_size=8, execution="cuda_graph")
    >>> 0 < prediction.interval_j[0] < prediction.energy_j < prediction.interval_j[1]
    True
    """
    name = load_device(device).name
    fitted = predictor if isinstance(predictor, Predictor) else _load(Path(predictor or shipped_bundle(name)))
    if fitted.spec.name != name:
        raise UnknownName("device", device, [fitted.spec.name], hint="That predictor was trained for another device.")
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
    _warn_if_too_large(tree, fitted.spec)
    return fitted.predict(tree, runtime)


def _warn_if_too_large(tree: ModelTree, spec: DeviceSpec) -> None:
    """Warn where the weights alone do not fit into the device: the number is one that nobody can measure."""
    weight_bytes = tree.root.parameters * DTYPE_BYTES[_STORED_AS.get(tree.workload.dtype, tree.workload.dtype)]
    if weight_bytes > spec.memory_bytes:
        warnings.warn(
            f"{tree.model}: {weight_bytes / 1e9:.0f} GB of weights do not fit into the "
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
    from irene.predictor.training import fit

    rows = load_rows(dataset_dir)
    reserved = reserved_families()
    is_reserved = rows["families"].map(lambda families: set(families.split(",")) <= reserved)
    return save_bundle(fit(rows[~is_reserved], device=device), output)


def _load(folder: Path) -> Predictor:
    """Load each bundle once, and again when its file changes."""
    path = folder / "bundle.json" if folder.is_dir() else folder
    return _load_once(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=4)
def _load_once(path: Path, changed_ns: int) -> Predictor:
    return load_bundle(path)
