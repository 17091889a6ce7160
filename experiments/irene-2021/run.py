"""Reproduce IrEne-2021, judge ours on its data, draw bottlenecks: writes results/, figures/ and the README's tables.

python experiments/irene-2021/run.py [DATA] [--seeds 5] [--paper-seeds 20] [--jobs 2]
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
from figures import draw_figures
from jobs import (
    CASES,
    DEVICES,
    VARIANTS,
    data_folder,
    judge_look_up,
    judge_ours,
    judge_paper,
    judge_tiny_ctrl,
    judge_transfer,
    judge_unseen_lengths,
)
from shares import tabulate_choices, tabulate_shares
from tables import write_readme

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", nargs="?", help="folder with irene_device_1.jsonl.gz and the others; or IRENE_2021_DATA"
    )
    parser.add_argument("--seeds", type=int, default=5, help="of ablations, of ours, and draws of leaves")
    parser.add_argument("--paper-seeds", type=int, default=20, help="of the paper's own settings")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    data = data_folder(options.data)
    results = HERE / "results"
    results.mkdir(exist_ok=True)

    with ProcessPoolExecutor(options.jobs) as pool:
        paper = []
        for device in DEVICES:
            for leave_out in ("model", "family"):
                for variant in VARIANTS if leave_out == "model" else ("paper", "model specs only"):
                    seeds = options.paper_seeds if variant == "paper" else options.seeds
                    paper.append(pool.submit(judge_paper, data, device, variant, leave_out, seeds))
        ours = [pool.submit(judge_ours, data, device, case, options.seeds) for device in DEVICES for case in CASES]
        look_up = [pool.submit(judge_look_up, data, device) for device in DEVICES]
        lengths = [pool.submit(judge_unseen_lengths, data, device) for device in DEVICES]
        transfer = [pool.submit(judge_transfer, data, *pair, 2 * options.seeds) for pair in ((1, 2), (2, 1))]
        tiny = [pool.submit(judge_tiny_ctrl, data, device, options.seeds) for device in DEVICES]
        jobs = {
            "crossvalidation": paper + ours, "look-up": look_up, "unseen-lengths": lengths, "transfer": transfer,
            "tiny-ctrl": tiny,
        }  # fmt: skip
        frames = {}
        for name, waiting in jobs.items():
            print(f"{name}: {len(waiting)} jobs", file=sys.stderr)
            frames[name] = pd.concat([job.result() for job in waiting], ignore_index=True)
    frames["shares"] = tabulate_shares(data)
    frames["choices"] = tabulate_choices(data)
    for name, frame in frames.items():
        frame.to_csv(results / f"{name}.csv", index=False, float_format="%.5g")
        frames[name] = pd.read_csv(results / f"{name}.csv")  # what is shown is what is kept
    draw_figures(frames["shares"], HERE / "figures")
    write_readme(frames, HERE / "README.md")


if __name__ == "__main__":
    main()
