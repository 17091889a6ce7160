"""Measure every case on this GPU: a process a model, a file for each that is finished; started again, it goes on."""

from __future__ import annotations

import subprocess
import sys
import time

from cases import FOLDER, load_cases

LIMIT_S = 240.0  # for one model in all scenarios


def main(limit_s: float) -> int:
    plan, failed, began_s = load_cases(), 0, time.monotonic()
    for case in [*plan.models, *plan.variants]:
        if time.monotonic() - began_s > limit_s:
            print(f"{limit_s:g} s are over; start it again for the rest")
            return 1
        options = [f"--{name.replace('_', '-')}={value}" for name, value in case.items() if name != "model"]
        scenarios = [f"--scenario={name}" for name in plan.scenarios]
        command = [
            sys.executable, "-m", "irene", "bench", case["model"], "--measure", *options, *scenarios,
            f"--lengths={plan.lengths}", f"--pad-to={plan.pad_to}", f"--rate={plan.rate_per_s}",
            f"--window={plan.window_s}", f"--keep={FOLDER / 'measured'}",
        ]  # fmt: skip
        try:
            failed += subprocess.run(command, timeout=LIMIT_S, check=False).returncode != 0
        except subprocess.TimeoutExpired:
            print(f"{case['model']}: not done within {LIMIT_S:g} s")
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 540.0))
