"""How fast IrEne's method runs here: a full cross-validation, and one prediction without parsing.

python experiments/irene-2021/benchmark.py [DATA]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from jobs import DEVICES, data_folder, load_table

from irene.irene_2021.estimator import Irene2021
from irene.irene_2021.judging import crossvalidate


def main() -> None:
    data = data_folder(sys.argv[1] if len(sys.argv) > 1 else None)
    for device in DEVICES:
        table = load_table(data, device)
        start = time.perf_counter()
        crossvalidate(table, "model", lambda seed: Irene2021(seed=seed), [0])
        whole_s = time.perf_counter() - start
        estimator = Irene2021().fit(table)
        trees = [table.select_trees(np.arange(len(table.model_names)) == i) for i in range(len(table.model_names))]
        estimator.predict(trees[0])
        times_s = []
        for tree in trees:
            start = time.perf_counter()
            estimator.predict(tree)
            times_s.append(time.perf_counter() - start)
        start = time.perf_counter()
        estimator.predict(table)
        together_s = time.perf_counter() - start
        alone_ms, worst_ms = 1000 * np.median(times_s), 1000 * max(times_s)
        print(
            f"device {device}: leave-one-model-out {whole_s:.2f} s; a tree alone {alone_ms:.2f} ms "
            f"(worst {worst_ms:.2f}); "
            f"{len(trees)} trees at once {1000 * together_s / len(trees):.2f} ms a tree"
        )


if __name__ == "__main__":
    main()
