"""Commands that list what irene knows and runs on: `irene models`, `irene devices` and `irene env`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from irene import __version__
from irene.cli import options as opt
from irene.cli.output import list_as, write_output
from irene.errors import MeterError

PACKAGES = (
    "torch", "transformers", "xgboost", "scikit-learn", "numpy", "pandas", "pyarrow", "networkx", "nvidia-ml-py",
    "plotly", "typer", "rich", "tqdm",
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
    write_output(list_as(rows, file_format, columns), output)


def print_devices(file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """The accelerators that irene has spec sheets of."""
    opt.require_format(file_format)
    from irene.hardware.spec import list_devices, load_device

    rows: list[dict[str, Any]] = []
    for name in list_devices():
        spec = load_device(name)
        quantities = {key: value for key, value in asdict(spec).items() if key not in ("peaks", "citations")}
        rows.append(quantities | {"peak_flop_per_s": spec.peak_flop_per_s, "sources": spec.sources})
    columns = ["name", "title", "architecture", "sm_count", "memory_bytes", "hbm_bytes_per_s", "power_cap_w"]
    write_output(list_as(rows, file_format, columns), output)


def print_environment(file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """Versions, and the GPU that would be measured."""
    opt.require_format(file_format)
    found = {"irene": __version__, "python": platform.python_version(), "system": platform.platform(terse=True)}
    found |= {name: _installed_version(name) for name in PACKAGES}
    found |= _describe_gpu()
    write_output(list_as([{"name": k, "value": v} for k, v in found.items()], file_format, ["name", "value"]), output)


def _installed_version(package: str) -> str:
    try:
        return metadata.version(package)  # read from the package's files: importing torch would take seconds
    except metadata.PackageNotFoundError:
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
