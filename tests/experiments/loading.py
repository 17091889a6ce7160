"""Files of experiments as modules: their folders are no packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import irene

EXPERIMENTS = Path(irene.__file__).parents[1] / "experiments"


def load_experiment(path: str) -> ModuleType:
    """The module at a path under `experiments/`."""
    name = "experiments." + path.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
