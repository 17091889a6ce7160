"""A model, or its prediction -> an Explanation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.explanation.counterfactuals import ask_all
from irene.explanation.explanation import Explanation
from irene.explanation.portions import describe_whole, kinds_of, layers_of, nodes_at_depth, ridge_of
from irene.explanation.shared_errors import wait_share
from irene.garbage import without_collections
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.model_tree.tree import ModelTree
from irene.predictor import predict
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.reading import read_model

DEPTH = 3


def explain(
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
    expert_routing: Any = "balanced",
    dequantized: bool = False,
    predictor: str | Path | Predictor | None = None,
    depth: int = DEPTH,
    unfold: bool = False,
    counterfactuals: bool = True,
) -> Explanation:
    """Say where the joules of a model go, what limits each part, and what a change would do.

    `model` and the workload are those of `irene.predict`; a `Prediction` is explained as it is, no counterfactuals.
    `depth` chooses the nodes (0: the model alone); equal neighbours are folded into one row unless `unfold`.
    `counterfactuals` are predicted again, each with a trace of its own. Raises BadInput and its kinds.

    >>> why = explain("bert-tiny", batch_size=8, depth=2, counterfactuals=False)
    >>> why.whole.bound, round(sum(portion.share for portion in why.nodes), 9)
    ('host_bound', 1.0)
    """
    if depth < 0:
        raise BadInput(f"depth must be at least 0, got {depth}.")
    model = read_model(model)
    if isinstance(model, Prediction):
        return explain_prediction(model, depth=depth, unfold=unfold)
    board: dict[str, Any] = {"device": device, "sm_clock_hz": sm_clock_hz, "card_factor": card_factor}
    base = predict(
        model, example_inputs, batch_size=batch_size, seq_len=seq_len, decoder_seq_len=decoder_seq_len, dtype=dtype,
        task=task, execution=execution, new_tokens=new_tokens, images=images,
        context_len=context_len, cache=cache, cache_len=cache_len, gpus=gpus, expert_routing=expert_routing,
        dequantized=dequantized, predictor=predictor, **board,
    )  # fmt: skip
    with without_collections():
        explanation = explain_prediction(base, depth=depth, unfold=unfold)
    if not counterfactuals:
        return explanation
    again = model if example_inputs is None else None
    return add_counterfactuals(explanation, base, again, dequantized=dequantized, predictor=predictor, **board)


def add_counterfactuals(
    explanation: Explanation, base: Prediction, model: Any, *, dequantized: bool = False,
    predictor: str | Path | Predictor | None = None, **board: Any,
) -> Explanation:  # fmt: skip
    """An explanation of `base` with what a change would do.

    `model` is what `read_model` says of the model that `base` is of: of a saved tree, or of none, only another
    execution is asked.
    """
    again = None if isinstance(model, ModelTree) else model
    if dequantized and again is not None:
        from irene.tracing.tracer import dense_twin

        again, _ = dense_twin(again, base.tree.workload.dtype)
    with without_collections():
        found, not_asked = ask_all(
            base, again, lambda tree: predict(tree, dequantized=dequantized, predictor=predictor, **board)
        )
    return replace(explanation, counterfactuals=found, not_asked=not_asked)


def explain_prediction(prediction: Prediction, *, depth: int = DEPTH, unfold: bool = False) -> Explanation:
    """The explanation of a prediction without counterfactuals: those need the model."""
    spec = load_device(prediction.device)
    return Explanation(
        model=prediction.tree.model,
        workload=prediction.tree.workload,
        device=prediction.device,
        predictor=f"{prediction.predictor.name} {prediction.predictor.version}",
        interval_j=prediction.interval_j,
        whole=describe_whole(prediction),
        wait_share=wait_share(prediction),
        power_cap_w=spec.power_cap_w,
        ridge_flop_per_byte=ridge_of(prediction, spec),
        depth=depth,
        nodes=nodes_at_depth(prediction, depth, unfold=unfold),
        layers=layers_of(prediction, unfold=unfold),
        kinds=kinds_of(prediction),
        counterfactuals=(),
        notes=prediction.tree.notes,
        generation=prediction.generation,
    )
