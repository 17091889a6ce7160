"""The cases of `cases.toml`, read once for predicting and for measuring."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Plan:
    scenarios: list[str]
    lengths: str
    pad_to: int
    rate_per_s: float
    window_s: float
    models: list[dict[str, Any]]
    variants: list[dict[str, Any]]


def load_cases() -> Plan:
    return Plan(**tomllib.loads((FOLDER / "cases.toml").read_text("utf-8")))
