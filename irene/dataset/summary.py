"""What a folder of measured rows holds: its runs, counts by level, method and kind, and the reference calls run by run.

python -m irene.dataset.summary data/h200
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.dataset.manifest import MANIFEST, read_manifest, runs_of
from irene.dataset.store import load_rows
from irene.dataset.surveys import load_surveys
from irene.errors import BadDataset, IreneError
from irene.primitives.call import Call
from irene.primitives.kinds import kind_of

if TYPE_CHECKING:
    import pandas as pd

_RUN_FIELDS = ("date", "gpu", "driver_version", "cuda", "torch", "transformers", "power_limit_w", "idle_power_first_w",
               "idle_power_context_w", "counter_period_s", "counter_read_s", "module_call_s")  # fmt: skip


def list_runs(directory: str | Path) -> list[dict[str, Any]]:
    """The runs of every collection at or below `directory`, oldest first; 'run' names one: 'h200-first/2'.

    A run is one start of `irene collect` on one machine: rows of one run share card, host and day. A manifest without
    a list of runs describes one.
    """
    found = []
    for path in sorted(Path(directory).rglob(MANIFEST)):
        manifest = read_manifest(path.parent)
        name = manifest.get("collection", path.parent.name)
        for number, run in enumerate(runs_of(manifest), start=1):
            found.append({"run": f"{name}/{number}", "collection": name, **{key: run.get(key) for key in _RUN_FIELDS}})
    return sorted(found, key=lambda run: str(run["date"]))


def label_runs(rows: pd.DataFrame, directory: str | Path) -> pd.Series[str]:
    """The run of each row, by its time: the last one of its collection that had begun.

    Raises `BadDataset` for a row that is older than its collection's first run, or whose collection has no manifest.
    """
    import pandas as pd

    names = pd.Series("", index=rows.index, name="run")
    measured_at = pd.to_datetime(rows["measured_at"], utc=True, errors="coerce")  # what is no time is before any run
    for run in list_runs(directory):  # oldest first, so that a later run takes over the rows after its start
        begun = measured_at >= pd.Timestamp(run["date"])
        names[begun & (rows["collection"] == run["collection"])] = run["run"]
    if (names == "").any():
        case = rows["case"][names == ""].iloc[0]
        raise BadDataset(f"{directory}: no run of a {MANIFEST} had begun when case {case[:80]!r} was measured.")
    return names


def count_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows and distinct cases by level, method, execution, dtype and weights; reference calls are not counted."""
    keys = ["level", "method", "execution", "dtype", "weights"]
    groups = rows[~rows["reference"].astype(bool)].groupby(keys)
    return groups.agg(rows=("case", "size"), distinct_cases=("case", "nunique")).reset_index()


def count_kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Distinct primitives (op, shapes, strides, dtype, hot or cold, loads) of each kind: all, and those with energy.

    Repeats and reference calls are not counted.
    """
    import pandas as pd

    primitives = rows[(rows["level"] == "primitive") & ~rows["reference"].astype(bool)]
    energy = set(primitives.loc[primitives["energy_j"].notna(), "case"])
    distinct = primitives.drop_duplicates("case")
    kinds = [kind_of(Call.from_json(json.loads(signature))) for signature in distinct["signature"]]
    timed = Counter(kinds)
    with_energy = Counter(kind for kind, case in zip(kinds, distinct["case"], strict=True) if case in energy)
    rows_out = [{"kind": kind, "distinct": timed[kind], "with_energy": with_energy[kind]} for kind in sorted(timed)]
    total = {"kind": "all", "distinct": len(distinct), "with_energy": len(energy)}
    return pd.DataFrame([*rows_out, total])


def count_families(rows: pd.DataFrame) -> pd.DataFrame:
    """Distinct module and model cases of each family, by execution."""
    cases = rows[(rows["level"] != "primitive") & ~rows["reference"].astype(bool)].drop_duplicates("case")
    counts = cases.groupby(["families", "level", "execution"]).size().unstack(["level", "execution"], fill_value=0)
    counts = counts.sort_index(axis=1)
    counts.columns = [" ".join(column) for column in counts.columns]
    counts.loc["all"] = counts.sum()
    return counts.reset_index()


def compare_references(rows: pd.DataFrame, runs: pd.Series[str]) -> pd.DataFrame:
    """The reference calls: one row a call, and for each run 'joules of each repeat, in order | watts' of the calls."""
    references = rows.assign(run=runs)[rows["reference"].astype(bool)].sort_values("measured_at")
    cells = {
        key: " ".join(f"{energy_j:#.4g}" for energy_j in group["energy_j"]) + f" J, {group['power_w'].median():.0f} W"
        for key, group in references.groupby(["case", "run"], sort=False)
    }
    import pandas as pd

    table = pd.Series(cells).unstack(fill_value="-")
    table = table.loc[list(dict.fromkeys(references["case"])), list(dict.fromkeys(references["run"]))]
    table.index = [case.removeprefix("reference|") for case in table.index]
    return table.rename_axis("reference call").reset_index()


def count_surveys(directory: str | Path) -> pd.DataFrame:
    """Surveyed products by dtype mode, and how far two times of one lie apart, where its clock was read both times.

    Of those longer than 20 us; `at_one_clock_pct` is the mean of what is left if time goes as one over the clock.
    Empty if there is no survey.
    """
    import numpy as np
    import pandas as pd

    rows_out = []
    for dtype, own in load_surveys(directory).groupby("dtype"):
        known = own[own["sm_clock_hz"].notna() & (own["duration_s"] > 20e-6)]
        twice = known.groupby("signature").filter(lambda times: len(times) == 2).sort_values("signature")
        logs = np.log(twice[["duration_s", "sm_clock_hz"]].to_numpy(dtype=np.float64)).reshape(-1, 2, 2)
        time, clock = (logs[:, 0, column] - logs[:, 1, column] for column in (0, 1))
        apart_pct, at_one_clock_pct = (float(100 * np.abs(d).mean()) if len(d) else None for d in (time, time + clock))
        rows_out.append({
            "dtype": dtype, "profiled": len(own), "distinct": own["signature"].nunique(), "twice": len(logs),
            "apart_pct": apart_pct, "at_one_clock_pct": at_one_clock_pct,
        })  # fmt: skip
    return pd.DataFrame(rows_out)


def to_markdown(table: pd.DataFrame) -> str:
    """Any small frame as a Markdown table."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    lines += [
        [f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row] for row in table.to_numpy(object)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def summarise(directory: str | Path) -> str:
    """Everything above as Markdown."""
    import pandas as pd

    rows = load_rows(directory)
    runs = label_runs(rows, directory)
    listed = pd.DataFrame(list_runs(directory)).set_index("run").drop(columns="collection")
    listed.insert(0, "rows", runs.value_counts().reindex(listed.index))
    sections = {
        "Runs": listed.T.rename_axis("").reset_index(),
        "Rows": count_rows(rows),
        "Kinds of primitives": count_kinds(rows),
        "Module and model cases": count_families(rows),
        "Reference calls": compare_references(rows, runs),
        "Notes": rows[rows["note"] != ""].groupby(["collection", "note"]).size().reset_index(name="rows"),
        "Surveys": count_surveys(directory),
    }
    return "\n".join(f"## {title}\n\n{to_markdown(table)}" for title, table in sections.items() if len(table))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m irene.dataset.summary DIR")
    try:
        print(summarise(sys.argv[1]), end="")
    except IreneError as error:
        sys.exit(f"Error: {error}")
