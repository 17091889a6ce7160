"""For experiments: held-out predictions of every measured case, kept in a file, so that several use the same folds.

A fold is a fit of minutes, and there are as many as families. The file says what it was made from, rows and code;
where either has changed since, the folds are run again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from irene.evaluation import judge_dataset

if TYPE_CHECKING:
    import pandas as pd

_KEY = b"irene.held_out"
_ROOMS = ("dataset", "evaluation", "hardware", "leaves", "model_tree", "predictor", "primitives")
_BUNDLES = "bundles"


def load_held_out(
    dataset_dir: str | Path, cases_file: str | Path, seed: int = 0, jobs: int | None = None
) -> pd.DataFrame:
    """Judged cases of leave-one-family-out: the columns of `judge`, with `family`, and noise as `attach_noise` adds it.

    They are read from `cases_file` (Parquet) if that was made from the same rows by the same code with the same seed,
    else judged, which takes most of an hour, and written there. The reserved families are not among them.
    Raises BadDataset.
    """
    from pyarrow import parquet

    path = Path(cases_file)
    stamp = stamp_inputs(dataset_dir, seed).encode()
    if path.is_file() and (parquet.read_schema(path).metadata or {}).get(_KEY) == stamp:
        cases: pd.DataFrame = parquet.read_table(path).to_pandas()
        return cases
    judged = judge_dataset(dataset_dir, seed, jobs=jobs, site_folds=0)
    save_held_out(judged, dataset_dir, path, seed)
    return judged


def save_held_out(judged: pd.DataFrame, dataset_dir: str | Path, cases_file: str | Path, seed: int = 0) -> None:
    """Keep judged cases, as `judge_dataset` gives them for these rows and this seed, for `load_held_out`."""
    import pyarrow as pa
    from pyarrow import parquet

    from irene.evaluation.cross_validation import FAMILY

    path = Path(cases_file)
    table = pa.Table.from_pandas(judged[judged["held_out"] == FAMILY], preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _KEY: stamp_inputs(dataset_dir, seed).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata(metadata), path)


def stamp_inputs(dataset_dir: str | Path, seed: int = 0) -> str:
    """A digest of the seed, of the rows, and of the code that turns them into predictions."""
    house = Path(__file__).parents[1]
    code = [path for room in _ROOMS for path in sorted((house / room).rglob("*")) if _BUNDLES not in path.parts]
    digest = hashlib.sha256(str(seed).encode())
    for path in [*code, *sorted(Path(dataset_dir).rglob("*"))]:
        if path.is_file() and path.suffix not in (".pyc", ".md"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
