"""A plan with a harvest of two small models."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tracing.tiny_models import tiny_config

_HARVEST = """
primitives = "cases.jsonl.gz"
[harvest]
load_deviations = [0.3, 2]
dtypes = ["bfloat16", "float32"]
workloads = [[1, 16], [2, 8], [1, 4000]]
models = ["{0}/bert", "{0}/mixtral"]
[harvest.grid]
dtypes = ["bfloat16"]
linear = 20
attention = 20
[harvest.most]
view = 0
elementwise = 5
[harvest.energy]
gemm = 6
other = 2
"""


def write_harvest(directory: Path) -> Path:
    """Write the plan, and the configs of its models beside it."""
    for name in ("bert", "mixtral"):
        (directory / name).mkdir()
        (directory / name / "config.json").write_text(json.dumps(tiny_config(name).to_dict()))
    path = directory / "plan.toml"
    path.write_text(_HARVEST.format(directory))
    return path
