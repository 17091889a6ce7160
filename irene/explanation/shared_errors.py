"""How the errors of two predictions go together, so that the interval of a difference knows what cancels.

Two predictions by one predictor are wrong alike where the models are alike: they spend their joules on the same
kernels. Of models that the predictor had not seen, every pair of log errors is a sample of such a difference. Pairs are
sorted into classes of likeness; each class has a correlation, and a factor that makes 90 % of its pairs lie in

    |e_a - e_b| <= factor x sqrt(w_a^2 + w_b^2 - 2 correlation w_a w_b),    w = half-width of the log interval.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irene.account import name_regime
from irene.errors import BadInput
from irene.files import write_whole
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.predictor.intervals import FALLBACK_FACTOR, conformal_half_width
from irene.predictor.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
SHIPPED = Path(__file__).parent / "errors_shared"
LIKENESSES = ("same architecture and regime", "same regime", "different regimes", "different devices")
"""How alike two predictions are, most alike first. Of 'different devices' nothing is known: errors independent."""
_FEWEST_PAIRS = 20
_LARGEST_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class Residual:
    """The log error, predicted / measured, of one model that the predictor had not seen, and its half-width."""

    log_error: float
    half_width: float
    architecture: str
    regime: str
    family: str


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a class of pairs shares: the correlation of their log errors, the calibrated factor, and from how many."""

    correlation: float
    factor: float
    pairs: int


INDEPENDENT = Sharing(0.0, 1.0, 0)
"""Nothing known: errors as if they had nothing in common."""

SharedErrors = Mapping[str, Sharing]
"""`Sharing` by likeness."""


def likeness(architectures: tuple[str, str], regimes: tuple[str, str], devices: tuple[str, str] = ("", "")) -> str:
    """How alike two predictions are, one of `LIKENESSES`.

    >>> likeness(("BertModel", "BertModel"), ("eager", "eager"))
    'same architecture and regime'
    """
    if devices[0] != devices[1]:
        return LIKENESSES[3]
    if regimes[0] != regimes[1]:
        return LIKENESSES[2]
    return LIKENESSES[0] if architectures[0] == architectures[1] else LIKENESSES[1]


def regime_of_prediction(prediction: Prediction) -> str:
    """'cuda_graph'; or 'host_bound' where the GPU waits for the host much of the time; else 'eager'."""
    return name_regime(prediction.tree.workload.execution, wait_share(prediction), 1.0)


def wait_share(prediction: Prediction, index: int = 0) -> float:
    """Share of a node's time in which the GPU waits for the host; of the whole model by default."""
    duration_s = float(prediction.values.duration_s[index])
    gap_s = float(prediction.values.launch_gap_j[index]) / load_device(prediction.device).context_idle_power_w
    return min(1.0, gap_s / duration_s) if duration_s > 0 else 0.0


def half_width_of_difference(half_widths: tuple[float, float], sharing: Sharing) -> float:
    """Half-width of the 90 % interval of log(other / base) from those of the two log energies."""
    a, b = half_widths
    return sharing.factor * math.sqrt(max(a * a + b * b - 2.0 * sharing.correlation * a * b, 0.0))


def half_width_of(prediction: Prediction) -> float:
    """Half-width of the 90 % interval of a model's log energy."""
    low, high = prediction.interval_j
    return 0.5 * math.log(high / low)


def width_of_fallbacks(prediction: Prediction) -> float:
    """How much of a model's half-width its fallbacks make, each wrong by up to a factor of ten; 0 without any."""
    share = prediction.provenance_shares.get("fallback", 0.0)
    high, low = 1.0 - share + share * FALLBACK_FACTOR, 1.0 - share + share / FALLBACK_FACTOR
    return 0.5 * math.log(high / low)


@dataclass(frozen=True, slots=True)
class Spread:
    """How sure the ratio of two energies is: their likeness, what is shared, and the half-width of the log ratio."""

    likeness: str
    sharing: Sharing
    half_width: float

    def around(self, ratio: float) -> tuple[float, float]:
        """The 90 % interval of a ratio."""
        return ratio * math.exp(-self.half_width), ratio * math.exp(self.half_width)


def spread_between(base: Prediction, other: Prediction, errors: SharedErrors | None = None) -> Spread:
    """How sure the ratio of two predictions is; `errors` by default what comes with irene for the device."""
    like = likeness(
        (base.tree.root.type, other.tree.root.type),
        (regime_of_prediction(base), regime_of_prediction(other)),
        (base.device, other.device),
    )
    sharing = sharing_of(load_shared_errors(base.device) if errors is None else errors, like)
    # What fallbacks add is no error that was seen, and cancels nothing.
    unseen = [width_of_fallbacks(prediction) for prediction in (base, other)]
    known = [max(half_width_of(p) - width, 0.0) for p, width in zip((base, other), unseen, strict=True)]
    return Spread(like, sharing, half_width_of_difference((known[0], known[1]), sharing) + sum(unseen))


def fit_shared_errors(residuals: Iterable[Residual]) -> dict[str, Sharing]:
    """Correlation and factor of each likeness; a class of fewer than 20 pairs is left out.

    The correlation is that of errors in units of their half-widths, not below zero; the factor is conformal.
    """
    found = list(residuals)
    groups: dict[str, list[tuple[Residual, Residual]]] = {}
    for a, b in combinations(found, 2):
        groups.setdefault(likeness((a.architecture, b.architecture), (a.regime, b.regime)), []).append((a, b))
    return {name: _fit_class(groups[name]) for name in LIKENESSES if len(groups.get(name, ())) >= _FEWEST_PAIRS}


def residuals_of(judged: pd.DataFrame, spec: DeviceSpec) -> list[Residual]:
    """The residuals of the models among judged cases (`irene.evaluation.cross_validation`), in their order.

    `spec` is of the device that they were measured on.
    """
    models = judged[(judged["level"] == "model") & (judged["method"] == "window")]
    idle_w = spec.context_idle_power_w
    found = []
    for case in models.to_dict("records"):
        regime = name_regime(str(case["execution"]), case["predicted_wait_j"] / idle_w, case["predicted_duration_s"])
        error = math.log(case["predicted_energy_j"] / case["measured_energy_j"])
        width = 0.5 * math.log(case["high_j"] / case["low_j"])
        found.append(Residual(error, width, str(case["name"]), regime, str(case["family"])))
    return found


def _fit_class(pairs: Sequence[tuple[Residual, Residual]]) -> Sharing:
    errors = np.array([(a.log_error, b.log_error) for a, b in pairs])
    widths = np.array([(a.half_width, b.half_width) for a, b in pairs])
    units = errors / widths
    together = float((units[:, 0] * units[:, 1]).mean() / (units**2).mean())
    correlation = round(min(max(together, 0.0), _LARGEST_CORRELATION), 4)
    bare = Sharing(correlation, 1.0, len(pairs))
    scores = np.abs(errors[:, 0] - errors[:, 1]) / [half_width_of_difference((a, b), bare) for a, b in widths]
    return Sharing(correlation, conformal_half_width(scores.tolist()), len(pairs))


def sharing_of(errors: SharedErrors, like: str) -> Sharing:
    """The class of a likeness, or the next less alike that is known; independent errors if none is."""
    if like == LIKENESSES[3]:
        return INDEPENDENT
    for name in LIKENESSES[LIKENESSES.index(like) :]:
        if name in errors:
            return errors[name]
    return INDEPENDENT


def save_shared_errors(errors: SharedErrors, device: str, source: str, folder: Path = SHIPPED) -> Path:
    """Write what was fitted; `source` says from what. Returns the file."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "device": device,
        "source": source,
        "classes": {name: asdict(errors[name]) for name in LIKENESSES if name in errors},
    }
    path = folder / f"{device}.json"
    write_whole(path, json.dumps(content, indent=1) + "\n")
    return path


@cache
def load_shared_errors(device: str, folder: Path = SHIPPED) -> dict[str, Sharing]:
    """What comes with irene for a device; empty if nothing does. Raises BadInput for a file of another version."""
    path = folder / f"{device}.json"
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(f"{path}: schema_version is {content.get('schema_version')!r}, expected {SCHEMA_VERSION}.")
    return {name: Sharing(**values) for name, values in content["classes"].items()}
