"""Which of two models, or GPUs, or batches takes fewer joules a token: predictions beside ML.ENERGY's serving totals.

    python experiments/other-gpus/rankings.py REFERENCE [--output FOLDER]

REFERENCE has `mlenergy-2024.csv` (ml-energy leaderboard of 2024, Apache-2.0): joules a request under vLLM with
continuous batching, of models on one A100 or H100. Predicted is one captured decode step at the same mean batch over a
dense cache, per token, and the prefill of its prompt: another quantity, so that only signs and ranks are compared.
Writes `rankings.csv`. CPU only, some minutes.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from irene import predict

DEVICES = {"NVIDIA A100-SXM4-40GB": "a100-sxm-40gb", "NVIDIA H100 80GB HBM3": "h100-sxm"}
# Models with a bundled config of the same shapes.
MODELS = {
    "google/gemma-2-2b-it": "google/gemma-2-2b", "google/gemma-2-9b-it": "google/gemma-2-9b",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B",
    "microsoft/Phi-3-mini-4k-instruct": "microsoft/Phi-3-mini-4k-instruct",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistralai/Mistral-7B-v0.3",
    "bigcode/starcoder2-15b": "bigcode/starcoder2-15b",
    "bigcode/starcoder2-3b": "bigcode/starcoder2-3b", "google/codegemma-1.1-2b": "google/gemma-2b",
    "google/codegemma-7b": "google/gemma-7b", "codellama/CodeLlama-7b-hf": "huggyllama/llama-7b",
    "codellama/CodeLlama-13b-hf": "huggyllama/llama-13b",
}  # fmt: skip
_PROMPT_TOKENS = (
    200  # chats and code prompts of the leaderboard are some hundreds of tokens; lengths are not in its totals
)
_PROMPTS_AT_ONCE = 8
_DIFFERS = 1.2


def read(folder: Path) -> pd.DataFrame:
    """The largest and the smallest batch of each model on one GPU."""
    table = pd.read_csv(folder / "mlenergy-2024.csv")
    own = table[table.Model.isin(MODELS) & (table.TP == 1) & (table.PP == 1) & table["Avg BS (reqs)"].notna()]
    own = own.assign(token_j=own["Energy/req (J)"] / own["Avg Output Tokens"]).sort_values("Avg BS (reqs)")
    ends = own.groupby(["Model", "GPU"], as_index=False, sort=True)
    return pd.concat([ends.head(1), ends.tail(1)]).drop_duplicates().reset_index(drop=True)


def price(entries: pd.DataFrame) -> pd.Series:
    """Joules a token of each entry: its share of a decode step, and of the prefill."""
    found = []
    for row in entries.to_dict("records"):
        batch_size = max(1, round(row["Avg BS (reqs)"]))
        context_len = _PROMPT_TOKENS + round(row["Avg Output Tokens"] / 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a serving engine pages a cache that would not fit whole
            device = DEVICES[row["GPU"]]
            step = predict(
                MODELS[row["Model"]], task="causal-lm", batch_size=batch_size, seq_len=1, context_len=context_len,
                execution="cuda_graph", device=device,
            )  # fmt: skip
        found.append(step.energy_j / batch_size + prefill_j(row["Model"], device) / row["Avg Output Tokens"])
    return pd.Series(found, index=entries.index)


@cache
def prefill_j(model: str, device: str) -> float:
    """Joules of one prompt, of several at once."""
    several = predict(
        MODELS[model], task="causal-lm", batch_size=_PROMPTS_AT_ONCE, seq_len=_PROMPT_TOKENS, execution="cuda_graph",
        device=device,
    )  # fmt: skip
    return several.energy_j / _PROMPTS_AT_ONCE


def rank(entries: pd.DataFrame) -> dict[str, float]:
    """Signs of the pairs that differ by more than a fifth, and Spearman's correlation."""
    pairs = [
        (a, b) for a, b in itertools.combinations(entries.index, 2)
        if abs(np.log(entries.token_j[a] / entries.token_j[b])) > np.log(_DIFFERS)
    ]  # fmt: skip
    right = [
        np.sign(entries.token_j[a] - entries.token_j[b]) == np.sign(entries.predicted_j[a] - entries.predicted_j[b])
        for a, b in pairs
    ]
    spearman = entries.token_j.rank().corr(entries.predicted_j.rank())
    return {
        "entries": len(entries), "pairs": len(pairs), "sign_right_pct": round(100 * float(np.mean(right)), 1),
        "spearman": round(float(spearman), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    entries = read(given.reference)
    entries["predicted_j"] = price(entries)
    rows = [{"of": "all", **rank(entries)}]
    rows += [{"of": device, **rank(entries[gpu == entries.GPU])} for gpu, device in DEVICES.items()]
    largest = entries.sort_values("Avg BS (reqs)").groupby(["Model", "GPU"]).tail(1)
    rows.append({"of": "largest batches, H100 over A100", **_ratios(largest)})
    table = pd.DataFrame(rows)
    table.to_csv(given.output / "rankings.csv", index=False)
    print(table.to_string(index=False))


def _ratios(entries: pd.DataFrame) -> dict[str, float]:
    """As `rank`, of one model on both GPUs."""
    wide = entries.pivot_table(index="Model", columns="GPU", values=["token_j", "predicted_j"]).dropna()
    old, new = DEVICES
    ratios = pd.DataFrame({name: wide[name][new] / wide[name][old] for name in ("token_j", "predicted_j")})
    differ = ratios[np.abs(np.log(ratios.token_j)) > np.log(_DIFFERS)]
    right = np.sign(np.log(differ.token_j)) == np.sign(np.log(differ.predicted_j))
    return {
        "entries": len(ratios), "pairs": len(differ), "sign_right_pct": round(100 * float(right.mean()), 1),
        "spearman": round(float(ratios.token_j.rank().corr(ratios.predicted_j.rank())), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
