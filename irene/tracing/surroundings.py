"""What a trace depends on besides the config and the workload: irene's own code, and the packages that are installed.

Read from file names and sizes alone, without importing anything: a package's metadata folder bears its version.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

from irene.version import __version__

_ROOMS = ("model_tree", "primitives", "tracing", "variants", "passes")
_METADATA = (".dist-info", ".egg-info", ".egg-link")
_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")  # models may ask torch for a GPU
_VARIABLES = ("TORCH", "PYTORCH", "TRANSFORMERS", "USE_", "CUDA", "FLASH", "XFORMERS", "DISABLE_", "ACCELERATE")


@cache
def describe_surroundings() -> str:
    """One text for all of it; another text, and what was traced before is traced again.

    Of packages all that are installed, since transformers looks for many: one line each with its version, torch and
    transformers among them. Of irene the version, and of each file of the rooms that make a tree name, size and time.
    """
    lines = [f"irene {__version__}", f"python {sys.version}", *_list_packages(), *_list_sources()]
    lines += [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)]
    lines += [path for path in _DRIVERS if os.path.exists(path)]
    return "\n".join(lines)


def _list_packages() -> list[str]:
    found: set[str] = set()
    for folder in sys.path:
        try:
            found.update(name for name in os.listdir(folder or ".") if name.endswith(_METADATA))
        except OSError:  # a zip file, or gone
            continue
    return sorted(found)


def _list_sources() -> list[str]:
    house = Path(__file__).parents[1]
    lines = []
    for room in _ROOMS:
        for path in sorted((house / room).rglob("*")):
            if path.suffix in (".py", ".toml"):
                status = path.stat()
                lines.append(f"{path.relative_to(house)} {status.st_size} {status.st_mtime_ns}")
    return lines
