"""Settings of the estimator, read strictly from TOML or from the authors' JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from irene.errors import BadConfig
from irene.fields import Field
from irene.files import parse_json, read_text
from irene.quoting import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FeatureSet = Literal["model_specs", "resource_utilization"]
Strategy = Literal["end2end", "stepwise", "unstructured", "none"]
Weighting = Literal["close_to_one", "exact_one", "free"]

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "model_specs": ("batch_size", "seq_len", "flops", "mem_bytes"),
    "resource_utilization": (
        "cpu", "mem", "gpu", "gpu_mem", "gpu_clk", "gpu_mem_clk", "times_mean", "gpu_energy_mean",
    ),
}  # fmt: skip
ALWAYS_USED = ("num_parameters", "input_size")
"""Features that the authors' code adds whatever the sets: parameters, and batch size x length."""
_MOST = 1e5  # epochs: the paper's 8 are enough, and a million would not end
_IMPLIED: dict[str, Weighting] = {"unstructured": "free", "none": "exact_one"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the paper varies. The defaults are its own; `default.toml` says what each means.

    >>> Settings(training_strategy="none").weighting
    'exact_one'

    Raises `BadConfig` for a value that no setting knows.
    """

    feature_sets: tuple[FeatureSet, ...] = ("model_specs", "resource_utilization")
    polynomial_features: bool = True
    training_strategy: Strategy = "end2end"
    standardize_features: bool = True
    tanh_scalar: float = 10.0
    normalize_loss_scale: bool = True
    weighting_setting: Weighting | None = None
    epochs: int = 8
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for chosen in self.feature_sets:
            _require_known("feature_sets", chosen, get_args(FeatureSet))
        _require_known("training_strategy", self.training_strategy, get_args(Strategy))
        if self.weighting_setting is not None:
            _require_known("weighting_setting", self.weighting_setting, get_args(Weighting))
        for name in ("tanh_scalar", "epochs", "learning_rate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST:
                raise BadConfig(f"Setting {name!r} must be a positive number up to {_MOST:g}, got {quote(value)}.")
        if not isinstance(self.epochs, int):
            raise BadConfig(f"Setting 'epochs' must be a whole number, got {self.epochs!r}.")
        for name in ("polynomial_features", "standardize_features", "normalize_loss_scale"):
            if not isinstance(getattr(self, name), bool):
                raise BadConfig(f"Setting {name!r} must be true or false, got {getattr(self, name)!r}.")

        if self.training_strategy == "unstructured" and self.weighting != "free":
            raise BadConfig("Strategy 'unstructured' predicts joules from features: weighting_setting must be 'free'.")
        if self.training_strategy == "none" and self.weighting != "exact_one":
            raise BadConfig(
                "Strategy 'none' trains no weights: weighting_setting must be 'exact_one', or use 'end2end'."
            )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features in use, in the authors' order."""
        return (
            *ALWAYS_USED,
            *(name for key, names in FEATURE_SETS.items() if key in self.feature_sets for name in names),
        )

    @property
    def node_features(self) -> tuple[str, ...]:
        """Those of them that must stand in every node of a file."""
        return tuple(name for name in self.features if name not in ("batch_size", "seq_len", "input_size"))

    @property
    def weighting(self) -> Weighting:
        """The weighting in use: what was set, or what the strategy implies."""
        return self.weighting_setting or _IMPLIED.get(self.training_strategy, "close_to_one")


def load_settings(path: str | Path) -> Settings:
    """Settings from a TOML file, or from JSON with the same keys (the authors' config files).

    Keys that are left out keep the paper's values. Raises `BadConfig` for an unknown key or value.
    """
    path = Path(path)
    try:
        text = read_text(path, "settings", BadConfig)
        where = f"The settings {quote(str(path))}"
        data = parse_json(text, where, BadConfig) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"Cannot read settings from {str(path)!r}: {error}.") from None
    return settings_from(data, path.name)


def settings_from(data: Any, where: str) -> Settings:
    """Settings from a mapping; `where` names it in errors."""
    known = [field.name for field in fields(Settings)]
    if not isinstance(data, dict):
        raise BadConfig(f"{where}: expected a table of settings, got {type(data).__name__}.")
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise BadConfig(f"{where}: unknown setting {unknown[0]!r}; expected some of {', '.join(known)}.")
    if "feature_sets" in data:
        chosen = Field(data, where, BadConfig)["feature_sets"].list()
        data = {**data, "feature_sets": tuple(item.value for item in chosen)}
    return Settings(**data)


def _require_known(key: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadConfig(f"Setting {key!r} cannot be {quote(value)}; expected one of {', '.join(known)}.")
