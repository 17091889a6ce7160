"""The doors of the room: predict a model with a saved predictor, at one point or at many, and train one from rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.files import require_writable
from irene.garbage import without_collections
from irene.hardware.devices import DEFAULT_DEVICE
from irene.hardware.spec import DeviceSpec
from irene.hardware.system import load_system
from irene.model_tree.expert_routing import BALANCED, read_routing
from irene.model_tree.quantization import as_dense_twin, require_dense, require_towers, with_note
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload, read_dtype
from irene.predictor.bundle import save_bundle
from irene.predictor.finding import find_predictor
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor, fits_into
from irene.predictor.reading import read_model
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.sweep_values import Progress, Sweep, no_progress
from irene.tracing.known_trees import choose_dtype, trace_or_find


def predict(
    model: Any,
    example_inputs: Any = None,
    *,
    batch_size: int = 1,
    seq_len: int | None = None,
    decoder_seq_len: int | None = None,
    dtype: Any = None,
    device: str = DEFAULT_DEVICE,
    sm_clock_hz: float | None = None,
    card_factor: float = 1.0,
    task: str = "base",
    execution: str = "eager",
    new_tokens: int = 0,
    images: int | None = None,
    context_len: int = 0,
    cache: str = "dynamic",
    cache_len: int | None = None,
    gpus: int = 1,
    expert_routing: Any = BALANCED,
    dequantized: bool = False,
    predictor: str | Path | Predictor | None = None,
    runtime: RuntimeFeatures | None = None,
) -> Prediction:
    """Predict energy and time of one forward pass, or of a whole generation, without the hardware.

    `model` is a bundled name, a hub id, a path (config or saved tree), a transformers config, a `ModelTree`, or a
    `torch.nn.Module` with `example_inputs`. A tree brings its own workload. `predictor` is a bundle that `irene train`
    wrote, or a loaded one; by default the one that comes with irene for the device. Where the model can be run, if
    not metered, `runtime` takes what was seen: time and clock, and of a mixture of experts the load of each; the
    energy is then known to a few per cent.
    `dtype` is a name or torch's own: bfloat16 unless told; a module has to be of it already. `seq_len` is 128 unless
    told, or as many tokens as the model has positions for.
    A device without rows of its own is predicted from its spec sheet, and so is one whose clock is locked at
    `sm_clock_hz`: such numbers are 'transferred', with wide intervals. `card_factor` is what this board draws over what
    others of its kind do, as `irene collect --reference` measures it.
    A checkpoint with quantised weights (`quantization_config`) is priced as the program that a note names, or
    refused where none is modelled. `dequantized` prices its dense twin.
    `new_tokens` makes it a greedy generation: a prefill over `seq_len` tokens, then a decode step for each new token
    but the first; sampling and beams cost more at their head. `context_len` tokens are in the key-value cache already
    (one decode step is `seq_len=1` over a context); the cache grows, or is 'static' with room for `cache_len` tokens.
    A model of images and text gets `images` a sample before its text, one unless told; with 0 the text alone.
    Several `gpus` of one host share the model by tensor parallelism: energies are the sum of their boards.
    `expert_routing` is how tokens go to experts: 'balanced', 'zipf:1.2' (skewed; 'zipf:0' is at random), or how many
    tokens each expert of a layer got, as a list (or one list a layer) or the path of such a JSON file.
    Raises BadInput and its kinds.

    >>> prediction = predict("bert-tiny", batch_size=8, execution="cuda_graph")
    >>> 0 < prediction.interval_j[0] < prediction.energy_j < prediction.interval_j[1]
    True
    """
    fitted = find_predictor(predictor, device, sm_clock_hz, card_factor)
    model = read_model(model)
    if isinstance(model, Prediction):
        raise BadInput(
            f"{model.tree.model}: a saved prediction has no shapes to predict; irene.load_prediction reads it."
        )
    if isinstance(model, ModelTree):
        if model.workload.new_tokens:
            raise BadInput("The tree of a generation shows one step for all; predict it again by name (new_tokens).")
        if new_tokens or context_len:
            raise BadInput("A saved tree is one forward pass; it cannot be predicted as a generation (new_tokens).")
        if (routing := read_routing(expert_routing)) != BALANCED:
            model = replace(model, workload=replace(model.workload, expert_routing=routing))
        with without_collections():
            return fitted.predict(as_dense_twin(model) if dequantized else model, runtime)
    workload = Workload(
        batch_size=batch_size, seq_len=seq_len, decoder_seq_len=decoder_seq_len, dtype=choose_dtype(model, dtype),
        task=task, execution=execution, new_tokens=new_tokens, images=images, context_len=context_len,
        cache=cache, cache_len=cache_len, gpus=gpus, expert_routing=read_routing(expert_routing),
    )  # fmt: skip
    load_system(fitted.spec, workload.gpus)  # said now, not after seconds of tracing
    twin = ""
    if dequantized:
        from irene.tracing.tracer import dense_twin  # torch: not needed for a tree that is known

        model, twin = dense_twin(model, workload.dtype)
    if new_tokens:
        if example_inputs is not None:
            raise BadInput("A generation (new_tokens) is traced from a name or a config, not from example_inputs.")
        with without_collections():
            return _predict_generation(fitted, model, workload, twin)
    with without_collections():
        tree = with_note(trace_or_find(model, workload, example_inputs), twin)
        require_dense(tree.model, tree.quantization)
        _warn_if_too_large(tree, fitted.spec)
        return fitted.predict(tree, runtime)


def _predict_generation(fitted: Predictor, model: Any, workload: Workload, twin: str) -> Prediction:
    from irene.passes.generation import trace_generation
    from irene.predictor.generations import price_generation
    from irene.tracing.tracer import find_config

    named = find_config(model)
    generation = trace_generation(named.config, workload, named.name)
    shown = with_note(generation.opening[0].tree, twin)
    require_dense(shown.model, shown.quantization)
    require_towers(shown.model, shown.left_out)
    priced = price_generation(fitted, generation)
    tree = replace(shown, root=priced.tree.root, memory=generation.memory)
    _warn_if_too_large(tree, fitted.spec)
    return Prediction(tree, fitted.spec.name, fitted.info, priced.values, priced.shares, fits_into(tree, fitted.spec))


def sweep(
    model: Any,
    *,
    batch_sizes: Iterable[int] = (1,),
    seq_lens: Iterable[int | None] = (None,),
    new_tokens: Iterable[int] = (0,),
    decoder_seq_len: int | None = None,
    dtype: Any = None,
    device: str = DEFAULT_DEVICE,
    sm_clock_hz: float | None = None,
    card_factor: float = 1.0,
    task: str = "base",
    execution: str = "eager",
    images: int | None = None,
    gpus: int = 1,
    expert_routing: Any = BALANCED,
    dequantized: bool = False,
    predictor: str | Path | Predictor | None = None,
    progress: Progress = no_progress,
) -> Sweep:
    """Predict every combination of batch sizes, lengths and new tokens: what `predict` says of each, much faster.

    `model` is a bundled name, a hub id, the path of a config, or a transformers config. Points come batch after batch.
    `decoder_seq_len` holds for all points; left out, it is each point's `seq_len`. Of images the config fixes the
    size: there is then one point a batch. With `new_tokens` above 0 all points are generations, with a cache that
    grows. `dequantized`, `sm_clock_hz`, `card_factor` and `expert_routing` as of `predict`. `progress` is called with
    how many more points are done, whenever some are: `tqdm(total=...).update`, say. Raises BadInput and its kinds.

    >>> grid = sweep("bert-tiny", batch_sizes=[1, 8], seq_lens=[64, 100, 128])
    >>> grid.to_frame()[["batch_size", "seq_len"]].values.tolist()[-1], bool(grid.values.energy_j[-1] > 0)
    ([8, 128], True)
    """
    fitted = find_predictor(predictor, device, sm_clock_hz, card_factor)
    batches, lengths = dict.fromkeys(batch_sizes), dict.fromkeys(seq_lens)
    tokens = dict.fromkeys(new_tokens)
    if not batches or not lengths or not tokens:
        raise BadInput(
            "A sweep needs at least one batch size, sequence length and number of tokens (batch_sizes, ...)."
        )
    if 0 in tokens and len(tokens) > 1:
        raise BadInput("A sweep is of generations or of forward passes: new_tokens are all at least 1, or 0 alone.")
    given, model = model, read_model(model)
    if isinstance(model, ModelTree | Prediction):
        raise BadInput(f"{given} is saved, and of one batch size and length; give a name or a config.json.")
    from irene.predictor.sweeping import predict_grid
    from irene.tracing.grid import trace_grid

    shared = Workload(
        decoder_seq_len=decoder_seq_len,
        dtype=read_dtype(dtype),
        task=task,
        execution=execution,
        images=images,
        gpus=gpus,
        expert_routing=read_routing(expert_routing),
    )
    load_system(fitted.spec, gpus)
    asked = [replace(shared, batch_size=b, seq_len=n, new_tokens=t) for b in batches for n in lengths for t in tokens]
    with without_collections():
        if asked[0].new_tokens:
            from irene.predictor.generation_sweeps import sweep_generations

            return sweep_generations(fitted, model, asked, dequantized=dequantized, progress=progress)
        grid = trace_grid(model, asked, dequantized=dequantized)
        _warn_of_bytes(grid.model, grid.weight_bytes, grid.weight_bytes, fitted.spec)
        values = predict_grid(fitted, grid, progress)
    return Sweep(
        grid.model, fitted.spec.name, fitted.info, grid.workloads, values, grid.traced, grid.checked, grid.notes
    )


def _warn_if_too_large(tree: ModelTree, spec: DeviceSpec) -> None:
    """Warn where a workload does not fit into the device: the number is one that nobody can measure."""
    if tree.memory is not None:
        _warn_of_bytes(tree.model, tree.memory.weights, tree.memory.peak, spec)


def _warn_of_bytes(model: str, weight_bytes: float, peak_bytes: float, spec: DeviceSpec) -> None:
    what = "weights" if weight_bytes > spec.memory_bytes else "weights, cache and activations"
    if peak_bytes > spec.memory_bytes:
        needed = weight_bytes if weight_bytes > spec.memory_bytes else peak_bytes
        warnings.warn(
            f"{model}: {needed / 1e9:.0f} GB of {what} do not fit into the {spec.memory_bytes / 1e9:.0f} GB of one "
            f"{spec.name}; the prediction is for one that could hold them.",
            stacklevel=4,
        )


def train(dataset_dir: str | Path, output: str | Path, *, device: str | None = None) -> Path:
    """Fit a predictor on the rows below a directory, but for reserved families and variants, and save it as a bundle.

    `device` is by default that of the rows; rows of another GPU than a named one are refused. The same rows give the
    same bytes, in whatever order. Returns the folder. Raises BadDataset, and BadInput where the bundle cannot be
    written.
    """
    from irene.dataset.row_devices import find_device
    from irene.dataset.store import load_rows
    from irene.dataset.teaching import teaching_rows
    from irene.leaves.survey_prior import gather_survey
    from irene.predictor.training import fit

    rows = load_rows(dataset_dir)
    spec = find_device(rows, device)
    require_writable(output)
    survey = gather_survey(dataset_dir, rows, spec)
    return save_bundle(fit(teaching_rows(rows), device=spec.name, survey=survey), output)
