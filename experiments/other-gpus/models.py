"""Whole models on an A100 at a locked clock: joules and seconds beside what is predicted from the spec sheet alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from transformers import ResNetConfig

from irene.hardware import load_device
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer
from irene.tracing import trace
from irene.tracing.sources import load_config

DEVICE = "a100-pcie-40gb"
_NAMES = {
    "bertmodel_large": "google-bert/bert-large-uncased", "gpt2model_gpt2": "openai-community/gpt2",
    "mobilevitmodel_small": "apple/mobilevit-small", "optmodel_opt-1p3b": "facebook/opt-1.3b",
    "qwen2model_qwen2-1p5b": "Qwen/Qwen2-1.5B", "vitmodel_large": "google/vit-large-patch16-224",
}  # fmt: skip
# Three rows are said to have run out of memory; this one is a twentieth of its half in joules.
_OUT_OF_MEMORY = ("qwen2model_qwen2-1p5b", 8, 4096)
_RESNET101_DEPTHS = [3, 4, 23, 3]
# As PyTorch has it by default, and those rows had: convolutions in TF32, products in float32. Workloads here have one
# setting for both, and TF32 is nearer where a model is made of convolutions.
CONVOLUTIONS = ("resnet101_", "mobilevitmodel_small")


def judge_models(folder: Path, measured: Predictor) -> pd.DataFrame:
    """Forward passes, eager, with plain attention as those rows had it; `same_j` is what an H200 is said to take."""
    table = pd.read_csv(folder / "models-energaizer-a100.csv")
    rows = []
    for clock_mhz, at_clock in table.groupby("sm_clock_mhz"):
        elsewhere = transfer(measured, load_device(DEVICE), float(clock_mhz) * 1e6)
        for row in at_clock.itertuples():
            if (row.model, row.batch_size, row.seq_len) == _OUT_OF_MEMORY:
                continue
            config = (
                ResNetConfig(depths=_RESNET101_DEPTHS) if "resnet101" in row.model else load_config(_NAMES[row.model])
            )
            config._attn_implementation = "eager"
            length = {} if pd.isna(row.seq_len) else {"seq_len": int(row.seq_len)}
            dtype = "tf32" if row.dtype == "float32" and row.model in CONVOLUTIONS else row.dtype
            tree = trace(config, batch_size=int(row.batch_size), dtype=dtype, **length)
            here, there = elsewhere.predict(tree), measured.predict(tree)
            rows.append({
                "set": f"models, {DEVICE} at {clock_mhz:g} MHz", "architecture": "ampere", "model": row.model,
                "dtype": row.dtype, "measured_j": row.energy_j, "predicted_j": here.energy_j,
                "low_j": here.interval_j[0], "high_j": here.interval_j[1], "same_j": there.energy_j,
                "measured_s": row.duration_s, "predicted_s": here.duration_s, "same_s": there.duration_s,
            })  # fmt: skip
    return pd.DataFrame(rows)
