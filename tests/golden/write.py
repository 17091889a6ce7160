"""Write the golden values anew, of the stored calls and trees: `python -m tests.golden.write`.

Only where numbers moved on purpose; the commit says why, with a table before and after. With `--choose` the calls are
chosen and the trees traced anew too (from data/h200 and the bundled models), which is seldom needed.
"""

from __future__ import annotations

import argparse

from tests.golden import computing
from tests.golden.tables import FOLDER, save_tables


def write_values() -> None:
    """Compute and save all golden values."""
    fitted = computing.load_shipped()
    save_tables(FOLDER / "columns.json", computing.compute_columns(computing.load_cases("column_calls.json")))
    save_tables(
        FOLDER / "primitives.json", computing.compute_primitives(computing.load_cases("row_calls.json"), fitted)
    )
    wholes = computing.compute_wholes(fitted, computing.predict_wholes(fitted), computing.sweep_trees(fitted))
    save_tables(FOLDER / "wholes.json", wholes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", action="store_true", help="choose the calls and trace the trees anew first")
    if parser.parse_args().choose:
        from tests.golden.choosing import choose_calls, trace_trees

        trace_trees()
        choose_calls()
    write_values()
