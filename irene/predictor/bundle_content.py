"""What `bundle.json` says of a predictor, both ways: written from one, and read strictly into one.

Anything that no predictor can mean is refused with the path of its field: an unknown or a missing key, a value of
another type, a column that this irene does not compute, seconds or watts below zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from irene.errors import BadInput
from irene.fields import Field
from irene.hardware.devices import remember_device
from irene.hardware.spec import DeviceSpec, differing_numbers, spec_from_tables, spec_to_tables
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import matrix_names
from irene.leaves.learners.ensemble_files import ensemble_from_bytes
from irene.leaves.power.activity import RATES, RatePower
from irene.leaves.power.dedicated import DEDICATED_POWER
from irene.leaves.power.what_it_sees import power_names
from irene.leaves.regressor import Regressor
from irene.predictor.aggregation import WEIGHT_FEATURES, Weights
from irene.predictor.domain import Domain, SizeRange
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import Intervals
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import TERMS, RuntimeModel

KEYS = ("info", "device", "regressors", "features", "rate_power", "host", "weights", "runtime", "intervals", "domain")
_TIME, _POWER = "time-", "power-"
_ALWAYS = ("power", "stretch")
# Beyond what any predictor has learned; what is multiplied or taken as an exponent stays finite.
_MOST_SECONDS, _MOST_WATTS, _MOST_FACTOR, _MOST_COEFFICIENT, _MOST_WIDTH = 60.0, 1e6, 1e3, 1e3, 20.0


def predictor_to_content(predictor: Predictor) -> dict[str, Any]:
    """The values of KEYS; the regressors themselves are files."""
    weights, domain, runtime = predictor.weights, predictor.domain, predictor.runtime
    regressors = regressors_of(predictor)
    return {
        "info": asdict(predictor.info),
        "device": spec_to_tables(predictor.spec),
        "regressors": {name: regressor.ensemble.gp_share for name, regressor in regressors.items()},
        "features": {name: list(regressor.names) for name, regressor in regressors.items()},
        "rate_power": {"rates": list(RATES), "watts": list(_learned(predictor).rates.watts)},
        "host": asdict(predictor.host),
        "weights": {
            "features": list(WEIGHT_FEATURES), "energy": list(weights.energy), "duration": list(weights.duration),
            "chain_gap_s": weights.chain_gap_s,
        },
        "runtime": {
            "terms": list(TERMS), "coefficients": list(runtime.coefficients), "intercept": runtime.intercept,
            "throttled_power_w": runtime.throttled_power_w,
        },
        "intervals": asdict(predictor.intervals),
        "domain": {
            "metered": sorted(domain.metered), "ranges": asdict(domain)["ranges"], "forms": sorted(domain.forms),
        },
    }  # fmt: skip


def regressors_of(predictor: Predictor) -> dict[str, Regressor]:
    """The regressors of a predictor by the names of their files. Raises BadInput for a transferred one."""
    leaves = _learned(predictor)
    time = {f"{_TIME}{name}": regressor for name, regressor in leaves.time.items()}
    dedicated_power = {f"{_POWER}{name}": regressor for name, regressor in leaves.dedicated_power.items()}
    return time | dedicated_power | {"power": leaves.power, "stretch": leaves.sustained_ratio}


def _learned(predictor: Predictor) -> LeafModel:
    if not isinstance(predictor.leaves, LeafModel):
        raise BadInput(f"A predictor for {predictor.spec.name} that was transferred from another device is not saved.")
    return predictor.leaves


def read_regressor_names(content: Field) -> tuple[str, ...]:
    """The regressors that a content lists; those with too few rows may lack."""
    known = (*(_TIME + name for name in REGRESSORS), *(_POWER + name for name in DEDICATED_POWER))
    return tuple(content["regressors"].keys(_ALWAYS, known).items())


def predictor_from_content(content: Field, files: Mapping[str, bytes]) -> Predictor:
    """The predictor of a content with KEYS, and of its regressors' files by name. Raises the content's error."""
    names = read_regressor_names(content)
    spec = _read_spec(content["device"])
    shares = {name: share.number(0.0, 1.0) for name, share in content["regressors"].items().items()}
    features = content["features"].keys(names)
    columns = {name: _read_columns(name, features[name]) for name in names}
    fitted = {
        name: Regressor(ensemble_from_bytes(name, files[name], shares[name], len(columns[name])), columns[name])
        for name in names
    }
    info = content["info"].keys(field.name for field in fields(PredictorInfo))
    return Predictor(
        info=PredictorInfo(**{name: text.text() for name, text in info.items().items()}),
        spec=spec,
        leaves=LeafModel(
            {name: fitted[f"{_TIME}{name}"] for name in REGRESSORS if f"{_TIME}{name}" in fitted},
            _read_rate_power(content["rate_power"]),
            fitted["power"],
            {name: fitted[f"{_POWER}{name}"] for name in DEDICATED_POWER if f"{_POWER}{name}" in fitted},
            fitted["stretch"],
            spec.context_idle_power_w,
            spec.power_cap_w,
        ),
        host=_read_host(content["host"]),
        weights=_read_weights(content["weights"]),
        runtime=_read_runtime(content["runtime"]),
        intervals=_read_intervals(content["intervals"]),
        domain=_read_domain(content["domain"]),
    )


def _read_columns(regressor: str, listed: Field) -> tuple[str, ...]:
    if regressor.startswith(_TIME):
        computed = matrix_names(regressor.removeprefix(_TIME))
    else:
        dedicated = DEDICATED_POWER.get(regressor.removeprefix(_POWER)) if regressor.startswith(_POWER) else None
        computed = power_names() if dedicated is None else dedicated.names
    names = tuple(name.text() for name in listed.list())
    unknown = sorted(set(names) - set(computed))
    if unknown or len(set(names)) != len(names):
        listed.fail("columns that this irene computes, each once", f"also {', '.join(unknown) or 'one twice'}")
    return names


def _read_spec(content: Field) -> DeviceSpec:
    """The sheet that the bundle was trained with: where one of that name is known here, they must be the same."""
    content.items()
    spec = spec_from_tables(content.value, f"{content.source}, device")
    different = differing_numbers(spec, remember_device(spec))
    if different:
        content.fail(f"the spec sheet of {spec.name} that is known here", f"another: {different}")
    return spec


def _read_rate_power(content: Field) -> RatePower:
    content.keys(("rates", "watts"))
    _require_texts(content["rates"], RATES)
    return RatePower(tuple(watts.number(0.0, _MOST_WATTS) for watts in content["watts"].list(len(RATES))))


def _read_host(content: Field) -> HostModel:
    content.keys(field.name for field in fields(HostModel))
    return HostModel(
        {op: cost.number(0.0, _MOST_SECONDS) for op, cost in content["costs_s"].items().items()},
        content["launch_s"].number(0.0, _MOST_SECONDS),
        content["view_s"].number(0.0, _MOST_SECONDS),
        content["module_s"].number(0.0, _MOST_SECONDS),
        content["factor"].number(0.0, _MOST_FACTOR),
        content["call_s"].number(0.0, _MOST_SECONDS),
    )


def _read_weights(content: Field) -> Weights:
    content.keys(("features", "energy", "duration", "chain_gap_s"))
    _require_texts(content["features"], WEIGHT_FEATURES)
    return Weights(
        _read_coefficients(content["energy"], len(WEIGHT_FEATURES)),
        _read_coefficients(content["duration"], len(WEIGHT_FEATURES)),
        content["chain_gap_s"].number(0.0, _MOST_SECONDS),
    )


def _read_runtime(content: Field) -> RuntimeModel:
    content.keys(("terms", "coefficients", "intercept", "throttled_power_w"))
    _require_texts(content["terms"], TERMS)
    return RuntimeModel(
        content["throttled_power_w"].number(0.0, _MOST_WATTS),
        content["intercept"].number(-_MOST_COEFFICIENT, _MOST_COEFFICIENT),
        _read_coefficients(content["coefficients"], len(TERMS)),
    )


def _read_intervals(content: Field) -> Intervals:
    content.keys(field.name for field in fields(Intervals))
    by_kind, by_regime, by_form = (
        {name: width.number(0.0, _MOST_WIDTH) for name, width in content[key].items().items()}
        for key in ("by_kind", "by_regime", "by_form")
    )
    any_kind, any_regime, any_form = (
        content[key].number(0.0, _MOST_WIDTH) for key in ("any_kind", "any_regime", "any_form")
    )
    return Intervals(by_kind, any_kind, by_regime, any_regime, by_form, any_form)


def _read_domain(content: Field) -> Domain:
    content.keys(("metered", "ranges", "forms"))
    return Domain(
        frozenset(identity.text() for identity in content["metered"].list()),
        {
            kind: {dtype: _read_range(bounds) for dtype, bounds in by_dtype.items().items()}
            for kind, by_dtype in content["ranges"].items().items()
        },
        frozenset(form.text() for form in content["forms"].list()),
    )


def _read_range(bounds: Field) -> SizeRange:
    flop_low, flop_high, bytes_low, bytes_high = (bound.number() for bound in bounds.list(4))
    return flop_low, flop_high, bytes_low, bytes_high


def _read_coefficients(content: Field, count: int) -> tuple[float, ...]:
    return tuple(number.number(-_MOST_COEFFICIENT, _MOST_COEFFICIENT) for number in content.list(count))


def _require_texts(content: Field, expected: tuple[str, ...]) -> None:
    if content.value != list(expected):
        content.fail(f"those of this irene: {', '.join(expected)}")
