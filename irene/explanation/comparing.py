"""Two or more predictions -> a Comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.explanation.alignment import compare_layers, compare_roles
from irene.explanation.comparison import Comparison, Difference, Entry
from irene.explanation.shared_errors import SharedErrors, load_shared_errors, spread_between
from irene.hardware.devices import DEFAULT_DEVICE
from irene.model_tree.workload import Workload
from irene.predictor import predict
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.reading import read_model


def compare(
    models: Mapping[str, Any],
    *,
    batch_size: int = 1,
    seq_len: int | None = None,
    decoder_seq_len: int | None = None,
    dtype: Any = None,
    device: str = DEFAULT_DEVICE,
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
    shared_errors: SharedErrors | None = None,
) -> Comparison:
    """Compare named models; the first is the base.

    A value is a `Prediction`, which is taken as it is, or a model as `irene.predict` takes it (a name, a config, a
    module's saved tree), which is predicted for the workload that the keywords say. `shared_errors` says how errors of
    two predictions go together; by default what comes with irene for the device. Raises BadInput for fewer than two,
    and for a generation beside a forward pass.

    >>> comparison = compare({"small": "bert-tiny", "wide": "bert-base-uncased"}, batch_size=32, seq_len=128)
    >>> comparison.ranking, comparison.difference("small", "wide").is_significant
    (('small', 'wide'), True)
    """
    if len(models) < 2:
        raise BadInput(f"A comparison needs two predictions or more, got {len(models)}.")

    def predicted(model: Any) -> Prediction:
        found = read_model(model)
        if isinstance(found, Prediction):
            return found
        return predict(
            found, batch_size=batch_size, seq_len=seq_len, decoder_seq_len=decoder_seq_len, dtype=dtype, device=device,
            task=task, execution=execution, new_tokens=new_tokens, images=images, context_len=context_len, cache=cache,
            cache_len=cache_len, gpus=gpus, expert_routing=expert_routing, dequantized=dequantized,
            predictor=predictor,
        )  # fmt: skip

    return compare_predictions({name: predicted(model) for name, model in models.items()}, shared_errors)


def compare_predictions(predictions: Mapping[str, Prediction], shared_errors: SharedErrors | None = None) -> Comparison:
    """Compare two named predictions or more; the first is the base."""
    _refuse_unlike(predictions)
    entries = tuple(_describe(name, prediction) for name, prediction in predictions.items())
    differences = tuple(
        difference_of(entries[i], predictions[entries[i].name], entries[j], predictions[entries[j].name], shared_errors)
        for i, j in combinations(range(len(entries)), 2)
    )
    ranked_by = _choose_measure(entries)
    ranking = tuple(entry.name for entry in sorted(entries, key=lambda entry: float(getattr(entry, ranked_by))))
    return Comparison(entries, differences, ranking, ranked_by, tuple(_note(entries, predictions)))


def difference_of(
    base: Entry, base_prediction: Prediction, other: Entry, other_prediction: Prediction,
    shared_errors: SharedErrors | None = None,
) -> Difference:  # fmt: skip
    """One pair's difference with its interval and what each layer and role has in it."""
    spread = spread_between(base_prediction, other_prediction, shared_errors)
    ratio = other.energy_j / base.energy_j
    low, high = spread.around(ratio)
    samples, tokens = base.workload.batch_size / other.workload.batch_size, _token_factor(base.workload, other.workload)
    return Difference(
        base=base.name,
        other=other.name,
        energy_j=other.energy_j - base.energy_j,
        interval_j=_in_joules(base.energy_j, other.energy_j, spread.half_width),
        ratio=ratio,
        interval_ratio=(low, high),
        is_significant=not low <= 1.0 <= high,
        likeness=spread.likeness,
        error_correlation=spread.sharing.correlation,
        factor_per_sample=samples,
        factor_per_token=tokens,
        by_layer=compare_layers(base_prediction, other_prediction),
        by_role=compare_roles(base_prediction, other_prediction),
    )


def count_tokens(work: Workload) -> int | None:
    """Tokens that joules are counted by: those that a generation writes, else positions of all inputs of one call.

    Both sides of an encoder-decoder count; `None` for inputs without tokens.

    >>> count_tokens(Workload(batch_size=8, seq_len=128)), count_tokens(Workload(batch_size=8, new_tokens=16))
    (1024, 128)
    """
    if work.new_tokens:
        return work.batch_size * work.new_tokens
    if work.seq_len is None:
        return None
    return work.batch_size * (work.seq_len + (work.decoder_seq_len or 0))


def _in_joules(base_j: float, other_j: float, width: float) -> tuple[float, float]:
    """The interval of other - base, the smaller of the two held at its prediction: zero is in both or in neither."""
    small, large = sorted((base_j, other_j))
    low, high = large * math.exp(-width) - small, large * math.exp(width) - small
    return (low, high) if other_j >= base_j else (-high, -low)


def _describe(name: str, prediction: Prediction) -> Entry:
    work = prediction.tree.workload
    if prediction.energy_j <= 0:
        raise BadInput(f"{name!r} is predicted to use no energy: there is nothing to compare.")
    tokens = count_tokens(work)
    return Entry(
        name=name,
        model=prediction.tree.model,
        architecture=prediction.tree.root.type,
        workload=work,
        device=prediction.device,
        predictor=f"{prediction.predictor.name} {prediction.predictor.version}",
        energy_j=prediction.energy_j,
        interval_j=prediction.interval_j,
        duration_s=prediction.duration_s,
        power_w=prediction.power_w,
        breakdown_j=prediction.breakdown_j,
        energy_per_sample_j=prediction.energy_j / work.batch_size,
        energy_per_token_j=prediction.energy_j / tokens if tokens else None,
        bound=prediction.bound,
        provenance=prediction.provenance,
        generation=prediction.generation,
    )


def _refuse_unlike(predictions: Mapping[str, Prediction]) -> None:
    generates = {name: p.tree.workload.new_tokens > 0 for name, p in predictions.items()}
    if len(set(generates.values())) > 1:
        one, other = (next(n for n, g in generates.items() if g is kind) for kind in (True, False))
        raise BadInput(
            f"{one!r} is a generation and {other!r} a forward pass: their joules buy different things. "
            "Give all of them the same --new-tokens."
        )


def _choose_measure(entries: tuple[Entry, ...]) -> str:
    if len({_amount(entry.workload) for entry in entries}) == 1:
        return "energy_j"
    return "energy_per_sample_j" if any(e.energy_per_token_j is None for e in entries) else "energy_per_token_j"


def _amount(work: Workload) -> tuple[int | None, ...]:
    """Equal amounts are the same work."""
    return work.batch_size, work.seq_len, work.decoder_seq_len or 0, work.context_len, work.new_tokens


def _token_factor(base: Workload, other: Workload) -> float | None:
    ours, theirs = count_tokens(base), count_tokens(other)
    return ours / theirs if ours and theirs else None


def _note(entries: tuple[Entry, ...], predictions: Mapping[str, Prediction]) -> list[str]:
    noted = {name: prediction.tree.notes for name, prediction in predictions.items()}
    shared = [note for note in next(iter(noted.values())) if all(note in others for others in noted.values())]
    notes = [*shared, *(f"{name}: {note}" for name in noted for note in noted[name] if note not in shared)]
    if len({entry.workload.task for entry in entries}) > 1:
        notes.append("The tasks differ: so do the heads that are counted.")
    if len({entry.predictor for entry in entries}) > 1:
        notes.append("Not all are by one predictor: what their errors share is taken as if they were.")
    if any(not load_shared_errors(entry.device) for entry in entries):
        notes.append("For a device here nothing is known of shared errors: they are taken as independent.")
    elif len({entry.device for entry in entries}) > 1:
        notes.append("The devices differ: errors are taken as independent.")
    if len({_amount(entry.workload) for entry in entries}) > 1:
        notes.append("The amounts of work differ: compare per token or per sample.")
    return notes
