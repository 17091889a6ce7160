"""Leave one family out on the measured H200 rows: writes table.csv, table.md, cases.csv, and tables into Markdown.

The tables stand in README.md here, in docs/accuracy.md, and the three lines that matter most on the front page.

python experiments/leave-one-family-out/run.py [--reserve] [--seeds 0 1 2] [--data data/h200] [--jobs 2]
python experiments/leave-one-family-out/run.py --learning-curve
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from goals import tabulate_goals, tabulate_heaviest
from learning_curve import judge_curve, tabulate_curve
from tables import (
    CASE_COLUMNS,
    SHORT,
    by_family,
    by_kind,
    compare_seeds,
    front_rows,
    main_rows,
    tabulate_sources,
    worst_models,
    write_coverage,
    write_front_page,
    write_goals,
    write_sources,
    write_table,
)

from irene.cores import count_cores
from irene.dataset.store import load_rows
from irene.dataset.summary import label_runs
from irene.evaluation import judge_seeds
from irene.evaluation.coverage import tabulate_coverage
from irene.evaluation.error_table import tabulate_errors, to_markdown
from irene.evaluation.held_out import save_held_out, stamp_inputs
from irene.evaluation.noise import tabulate_noise
from irene.hardware.devices import load_device
from irene.leaves.survey_prior import gather_survey
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ACCURACY = ROOT / "docs" / "accuracy.md"
BUILD = ROOT / "build"  # other experiments judge by the same folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first one's table is written")
    parser.add_argument("--reserve", action="store_true", help="judge the reserved families too: once per release")
    parser.add_argument("--learning-curve", action="store_true", help="only what more timings would buy")
    parser.add_argument("--jobs", type=int, help="processes side by side; by default one a core")
    options = parser.parse_args()

    rows = load_rows(options.data)
    if options.learning_curve:
        survey = gather_survey(options.data, rows, load_device("h200"))
        curve = tabulate_curve(judge_curve(rows, survey, options.seeds[0], options.jobs or count_cores()))
        curve.to_csv(HERE / "learning-curve.csv", index=False, float_format="%.4g")
        write_between_marks(HERE / "README.md", write_table(curve), *marks("curve"))
        return
    keep = BUILD / "folds" / stamp_inputs(options.data)[:16]  # a run that was stopped goes on
    judged = judge_seeds(options.data, options.seeds, reserve=options.reserve, jobs=options.jobs, keep=keep)
    for seed, cases in judged.items():
        save_held_out(cases, options.data, BUILD / f"held-out{f'-seed-{seed}' if seed else ''}.parquet", seed)
    goals = write_standing(judged)
    table = write_errors(judged, tabulate_noise(rows.assign(run=label_runs(rows, options.data))))
    write_between_marks(ROOT / "README.md", write_front_page(goals), *marks("accuracy"))
    write_between_marks(ACCURACY, write_goals(goals), *marks("goals"))
    write_between_marks(ACCURACY, to_markdown(front_rows(table)), *marks("errors"))


def write_standing(judged: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """The goals over seeds; of the first seed, the coverage of the intervals and where the error of primitives sits."""
    first = next(iter(judged.values()))
    goals, coverage, sources = tabulate_goals(judged), tabulate_coverage(first), tabulate_sources(first)
    for name, frame in (("goals", goals), ("coverage", coverage), ("sources", pd.concat(sources.values()))):
        frame.to_csv(HERE / f"{name}.csv", index=False, float_format="%.4g")
    for name, text in (
        ("goals", write_goals(goals)), ("coverage", write_coverage(coverage)), ("sources", write_sources(sources)),
        ("heaviest", write_table(tabulate_heaviest(first))),
    ):  # fmt: skip
        write_between_marks(HERE / "README.md", text, *marks(name))
    return goals


def write_errors(judged: dict[int, pd.DataFrame], noise: pd.DataFrame) -> pd.DataFrame:
    """Every row of the table of errors, the tables beside it, and the cases: those of the first seed."""
    first = next(iter(judged.values()))
    table = tabulate_errors(first)
    seeds = compare_seeds({seed: tabulate_errors(cases) for seed, cases in judged.items()})
    table.to_csv(HERE / "table.csv", index=False, float_format="%.4g")
    cases = first[first["method"] == "window"]
    cases[CASE_COLUMNS].to_csv(HERE / "cases.csv", index=False, float_format="%.5g")
    sections = {
        "Errors": to_markdown(table),
        "Noise floor": write_table(noise),
        "Models and modules by family": write_table(by_family(cases)),
        "Primitives by kind": write_table(by_kind(first)),
        "The worst models": write_table(worst_models(cases)),
        "Seeds": write_table(seeds),
    }
    text = "\n".join(f"## {title}\n\n{body.rstrip()}\n" for title, body in sections.items())
    (HERE / "table.md").write_text(f"# Leave one family out\n\nAll numbers are per cent errors.\n\n{text}", "utf-8")
    shown = main_rows(table)[[*SHORT, *table.columns[table.columns.get_loc("coverage_pct") + 1 :]]]
    write_between_marks(HERE / "README.md", to_markdown(shown))
    return table


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


if __name__ == "__main__":
    main()
