"""Does twice the batch, the length or the layers ever cost fewer joules? Writes pairs.csv and the table in README.md.

python experiments/more-is-more/run.py [--points 2] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import irene
from irene.dataset.summary import to_markdown
from irene.errors import BadInput
from irene.reporting.marked_text import write_between_marks
from irene.tracing.bundled_models import list_bundled

HERE = Path(__file__).resolve().parent
DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")
FEW_LAYERS = 3  # layers repeat: what holds for three and six of them holds for thirty and sixty
BATCH_SIZES, SEQ_LENS = (1, 1, 2, 3, 4, 6, 8, 16, 31), (1, 2, 7, 16, 33, 64, 100, 128, 200, 255, 256)
DTYPES, EXECUTIONS = ("bfloat16", "float16", "float32", "tf32"), ("eager", "cuda_graph")
TOKENS = (0, 16, 64, 256, 10**9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2, help="random workloads of each bundled model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(options.seed)
    rows = []
    for bundled in list_bundled():
        for _ in range(options.points):
            rows += double_each(bundled, rng)
        print(bundled.name, file=sys.stderr)
    pairs = pd.DataFrame(rows)
    pairs.to_csv(HERE / "pairs.csv", index=False, float_format="%.5g")
    write_between_marks(HERE / "README.md", to_markdown(tabulate(pairs)))


def double_each(bundled: Any, rng: random.Random) -> list[dict[str, Any]]:
    """One random workload of a model beside twice its batch, its length, its layers; [] if it cannot be traced."""
    shallow = with_layers(bundled.build_config(), FEW_LAYERS)
    workload = {"batch_size": rng.choice(BATCH_SIZES), "seq_len": rng.choice(SEQ_LENS)}
    how = {"dtype": rng.choice(DTYPES), "execution": rng.choice(EXECUTIONS)}

    def energy_j(config: Any = shallow, **change: int) -> float | None:
        try:
            return irene.predict(config, **{**workload, **change}, **how).energy_j
        except BadInput:  # too long for learned positions, or not traced in this form
            return None

    once_j = energy_j()
    twice = {
        "batch": energy_j(batch_size=2 * workload["batch_size"]),
        "length": energy_j(seq_len=2 * workload["seq_len"]),
        "layers": energy_j(with_layers(bundled.build_config(), 2 * FEW_LAYERS)),
    }
    described = {"model": bundled.name, **how, **workload}
    return [
        {**described, "doubled": what, "once_j": once_j, "twice_j": twice_j, "ratio": twice_j / once_j}
        for what, twice_j in twice.items()
        if once_j is not None and twice_j is not None and not has_fixed_length(bundled, what)
    ]


def has_fixed_length(bundled: Any, what: str) -> bool:
    """Images and sounds come at one size."""
    return what == "length" and not hasattr(bundled.build_config(), "vocab_size")


def with_layers(config: Any, layers: int) -> Any:
    for name in DEPTHS:
        if isinstance(vars(config).get(name), int):
            setattr(config, name, layers)
    if getattr(config, "layer_types", None):
        kinds = list(config.layer_types)
        config.layer_types = [kinds[at % min(FEW_LAYERS, len(kinds))] for at in range(layers)]
    return config


def tabulate(pairs: pd.DataFrame) -> pd.DataFrame:
    """By what was doubled and how many tokens a call had: pairs, those that fall, the largest fall in per cent."""
    tokens = pd.cut(pairs["batch_size"] * pairs["seq_len"], TOKENS, labels=["up to 16", "to 64", "to 256", "above 256"])
    rows = []
    for (what, size), group in pairs.groupby([pairs["doubled"], tokens], observed=True):
        falls = group["ratio"] < 1
        rows.append({
            "doubled": what, "tokens before": size, "pairs": len(group), "fall": int(falls.sum()),
            "largest fall %": round(float(100 * (1 - group["ratio"].min())), 2) if falls.any() else 0.0,
            "median ratio": round(float(group["ratio"].median()), 2),
        })  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
