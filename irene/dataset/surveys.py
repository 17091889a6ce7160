"""Surveys on disk: products by the ten thousand, each profiled once, with the kernel that ran.

pandas and pyarrow are imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from irene.errors import BadDataset

if TYPE_CHECKING:
    import pandas as pd

_PREFIX = "survey-"


@dataclass(frozen=True, slots=True)
class SurveyRow:
    """One product: all its kernels' seconds in the last run and in the one before, and the longest kernel.

    `sm_clock_hz` is the clock right afterwards, `dtype` the mode ('tf32' for float32 tensors with TF32 on); `kernels`
    counts the launches of one run.
    """

    signature: str
    dtype: str
    duration_s: float
    earlier_s: float
    sm_clock_hz: float
    kernels: int
    kernel: str
    blocks: int
    threads: int


def write_survey(rows: Iterable[SurveyRow], directory: Path) -> list[Path]:
    """Write a `survey-DTYPE.parquet` a dtype mode in `directory`, which exists; rows sorted, times to a nanosecond."""
    import pandas as pd

    frame = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(SurveyRow)])
    frame = frame.sort_values(["dtype", "signature"], kind="stable")
    frame = frame.astype({"kernels": "int16", "blocks": "int32", "threads": "int16", "sm_clock_hz": "float32"})
    frame["sm_clock_hz"] = frame["sm_clock_hz"].round(-6)
    for name in ("duration_s", "earlier_s"):
        frame[name] = frame[name].round(9)
    paths = []
    for dtype, part in frame.groupby("dtype"):
        paths.append(directory / f"{_PREFIX}{dtype}.parquet")
        part.to_parquet(paths[-1], index=False, compression="zstd", compression_level=19)
    return paths


def load_surveys(directory: str | Path) -> pd.DataFrame:
    """Every survey at or below `directory`, one frame in the columns of `SurveyRow`; empty if there is none.

    Raises BadDataset, naming the file, for an unreadable file, missing columns, or a time that is not positive.
    """
    import pandas as pd

    names = [field.name for field in fields(SurveyRow)]
    frames = []
    for path in sorted(Path(directory).rglob(f"{_PREFIX}*.parquet")):
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise BadDataset(f"{path} is no readable survey ({error}). Make it again or restore it.") from error
        missing = sorted(set(names) - set(frame.columns))
        if missing or not (frame["duration_s"] > 0).all():
            raise BadDataset(f"{path}: expected positive times and the columns {names}; missing: {missing}.")
        frames.append(frame[names])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)
