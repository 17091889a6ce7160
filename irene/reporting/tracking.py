"""A prediction as one flat dictionary of numbers: what Trackio, Weights & Biases and MLflow log by one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.reporting import wording

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction


def loggable(prediction: Prediction, prefix: str = "predicted_") -> dict[str, float]:
    """Numbers by name, each with `prefix`, in SI units; what is not known is left out, never 0.

    `trackio.log(d)`, `wandb.log(d)` and `mlflow.log_metrics(d)` take it as it is. A generation has its joules for each
    new token also under the names that others read, without the prefix: `joules_per_output_token` (InferenceX's
    results) and `energy_per_token_joules` (ML.ENERGY's data).

    >>> import irene
    >>> found = loggable(irene.predict("bert-tiny", batch_size=8))
    >>> found["predicted_energy_per_sample_j"] == found["predicted_energy_j"] / 8, "joules_per_output_token" in found
    (True, False)
    """
    low_j, high_j = prediction.interval_j
    memory = prediction.memory_bytes or {}
    numbers: dict[str, float | None] = {
        "energy_j": prediction.energy_j, "energy_low_j": low_j, "energy_high_j": high_j,
        "duration_s": prediction.duration_s, "power_w": prediction.power_w,
        "energy_per_sample_j": wording.energy_per_sample_j(prediction),
        "energy_per_token_j": wording.energy_per_token_j(prediction),
        **{f"{part}_j": joules for part, joules in prediction.breakdown_j.items()},
        **{f"memory_{name}_bytes": size for name, size in memory.items()},
        **(prediction.generation.to_columns() if prediction.generation else {}),
    }  # fmt: skip
    found = {f"{prefix}{name}": float(number) for name, number in numbers.items() if number is not None}
    token_j = prediction.energy_per_output_token_j
    if token_j is not None:
        found |= {"joules_per_output_token": token_j, "energy_per_token_joules": token_j}
    return found
