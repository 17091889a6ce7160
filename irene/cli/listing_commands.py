"""Commands that list what irene knows and runs on: `irene models`, `devices`, `variants` and `env`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import list_as, write_output
from irene.errors import MeterError
from irene.version import __version__

PACKAGES = (
    "torch", "transformers", "xgboost", "scikit-learn", "numpy", "pandas", "pyarrow", "joblib", "networkx",
    "nvidia-ml-py", "plotly", "typer", "rich", "tqdm",
)  # fmt: skip


def print_models(file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """The bundled models; they need no network."""
    opt.require_format(file_format)
    from irene.tracing.bundled_models import list_bundled

    rows = [
        {
            "name": model.name,
            "aliases": list(model.aliases),
            "model_type": model.model_type,
            "architecture": model.architecture,
            "published_parameters": model.published_parameters,
            "source": model.source,
        }
        for model in list_bundled()
    ]
    columns = ["name", "aliases", "model_type", "published_parameters"]
    write_output(list_as(rows, file_format, columns, ("model_type", "aliases")), output)


def print_devices(
    file_format: opt.Format = "table", output: opt.Output = None,
    predictors: Annotated[
        list[Path] | None, typer.Option("--predictor", metavar="BUNDLE", help="A calibration to be listed too.")
    ] = None,
) -> None:  # fmt: skip
    """Accelerators with spec sheets, and what is known of each.

    'measured': a predictor was trained on rows of it; 'calibrated': corrected by points that were measured on it;
    'spec sheet': numbers are transferred from one that was measured.
    """
    opt.require_format(file_format)
    from irene.hardware.devices import list_devices, load_device
    from irene.predictor.bundle import has_bundle
    from irene.predictor.finding import load_calibrated

    found = [load_calibrated(path)[0] for path in predictors or ()]
    calibrated = {one.spec.name: one for one in found}
    rows: list[dict[str, Any]] = []
    for name in sorted({*list_devices(), *calibrated}):
        spec = calibrated[name].spec if name in calibrated else load_device(name)
        quantities = {key: value for key, value in asdict(spec).items() if key not in ("peaks", "citations")}
        known_from = "measured" if name not in calibrated and has_bundle(name) else "spec sheet"
        if name in calibrated:
            known_from = f"calibrated ({calibrated[name].points} points, {calibrated[name].models} models)"
        rows.append(
            quantities | {"known_from": known_from, "peak_flop_per_s": spec.peak_flop_per_s, "sources": spec.sources}
        )
    columns = [
        "name",
        "title",
        "architecture",
        "sm_count",
        "memory_bytes",
        "hbm_bytes_per_s",
        "power_cap_w",
        "known_from",
    ]
    gives_way = ("architecture", "sm_count", "hbm_bytes_per_s", "memory_bytes")
    write_output(list_as(rows, file_format, columns, gives_way), output)


def print_variants(file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """Changes that follow a model's name: what each takes and does."""
    opt.require_format(file_format)
    from irene.variants import load_all
    from irene.variants.registry import VARIANTS

    load_all()
    rows = [
        {
            "name": name,
            "usage": variant.usage,
            "parameters": list(variant.parameters),
            "what": variant.summary,
            "source": variant.source,
        }
        for name, variant in sorted(VARIANTS.items())
    ]
    write_output(list_as(rows, file_format, ["usage", "what", "source"], ["source"]), output)


def print_environment(file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """Versions, and the GPU that would be measured."""
    opt.require_format(file_format)
    found = {"irene": __version__, "python": platform.python_version(), "system": platform.platform(terse=True)}
    found |= {name: _installed_version(name) for name in PACKAGES}
    found |= _describe_gpu()
    write_output(list_as([{"name": k, "value": v} for k, v in found.items()], file_format, ["name", "value"]), output)


def _installed_version(package: str) -> str:
    for distribution in (package, f"{package}-cpu"):  # xgboost comes as either
        try:
            return metadata.version(distribution)  # read from its files: importing torch would take seconds
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def _describe_gpu() -> dict[str, str]:
    from irene.meters import NvmlMeter

    try:
        meter = NvmlMeter()
    except MeterError as error:
        return {"gpu": f"none: {error}"}
    try:
        return {key: "not readable" if value is None else str(value) for key, value in meter.describe().items()}
    finally:
        meter.close()
