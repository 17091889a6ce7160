"""Surveys on disk: products by the ten thousand, each profiled once, with the kernel that ran.

A file holds signatures as templates and numbers, and whole nanoseconds: half the bytes of texts and floats.
pandas and pyarrow are imported inside the functions.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irene.dataset.manifest import read_table_bytes, seal_tables
from irene.dataset.packed_texts import PackedTexts, count_places, pack_texts, unpack_texts
from irene.errors import BadDataset
from irene.files import write_whole
from irene.primitives.call import read_signature
from irene.primitives.patterns import split_call
from irene.primitives.stacks import CallStack, Form

if TYPE_CHECKING:
    import pandas as pd

_PREFIX = "survey-"
_SIZE = "size_"


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
    """Write a `survey-DTYPE.parquet` a dtype mode in `directory`, which exists; rows sorted, times to a nanosecond.

    Their digests go into the manifest.
    """
    import pandas as pd

    frame = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(SurveyRow)])
    frame = frame.sort_values(["dtype", "signature"], kind="stable")
    paths = []
    for dtype, part in frame.groupby("dtype"):
        paths.append(directory / f"{_PREFIX}{dtype}.parquet")
        buffer = io.BytesIO()
        _pack(part).to_parquet(buffer, index=False, compression="zstd", compression_level=19)
        write_whole(paths[-1], buffer.getvalue())
    seal_tables(directory)
    return paths


def load_surveys(directory: str | Path, *, with_sizes: bool = False) -> pd.DataFrame:
    """Every survey at or below `directory`, one frame in the columns of `SurveyRow`; empty if there is none.

    `with_sizes` adds what signatures were made of: `template`, and the numbers that fill it, `size_0` and so on.

    Raises BadDataset, naming the file, for an unreadable file, a digest that does not fit, missing columns, or a time
    that is not positive.
    """
    import pandas as pd

    names = [field.name for field in fields(SurveyRow)]
    frames = []
    for path in sorted(Path(directory).rglob(f"{_PREFIX}*.parquet")):
        try:
            frame = _unpack(pd.read_parquet(io.BytesIO(read_table_bytes(path))))
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise BadDataset(f"{path} is no readable survey ({error}). Make it again or restore it.") from error
        if not (frame["duration_s"] > 0).all():
            raise BadDataset(f"{path}: expected positive times. Make it again or restore it.")
        frames.append(frame if with_sizes else frame[names])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)


def stack_products(products: pd.DataFrame) -> CallStack:
    """The calls of surveyed products, loaded with their sizes, in their order; none is read one by one."""
    forms: list[Form] = []
    rows_of = products.reset_index(drop=True).groupby("template", observed=True, sort=False).indices
    for template, rows in rows_of.items():
        pattern, numbers = split_call(read_signature(unpack_texts(_with_marks(str(template)))[0]))
        sizes = products[[f"{_SIZE}{at}" for at in range(count_places(str(template)))]].to_numpy(dtype=np.int64)[rows]
        columns = [
            sizes[:, number - _MARK] if number >= _MARK else np.full(len(rows), number, dtype=np.int64)
            for number in numbers
        ]
        forms.append(Form(pattern, np.asarray(rows, dtype=np.int64), np.stack(columns, axis=1)))
    return CallStack(tuple(forms))


_MARK = 2**61  # numbers that no tensor has stand for the places of a template


def _with_marks(template: str) -> PackedTexts:
    marks = _MARK + np.arange(count_places(template), dtype=np.int64)
    return PackedTexts((template,), np.zeros(1, dtype=np.int32), marks[None])


def _pack(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that a file holds, of those of `SurveyRow`."""
    signatures = pack_texts(frame["signature"].tolist())
    duration_ns = (frame["duration_s"] * 1e9).round().astype("int64")
    packed = frame[["dtype", "kernels", "kernel", "blocks", "threads"]].astype(
        {"kernels": "int16", "blocks": "int32", "threads": "int16"}
    )
    packed["template"] = [signatures.templates[at] for at in signatures.template_of]
    for at, column in enumerate(signatures.numbers.T):
        packed[f"{_SIZE}{at}"] = column
    packed["duration_ns"] = duration_ns
    packed["earlier_minus_duration_ns"] = (frame["earlier_s"] * 1e9).round().astype("int64") - duration_ns
    packed["sm_clock_mhz"] = (frame["sm_clock_hz"] / 1e6).round().astype("float32")
    return packed


def _unpack(packed: pd.DataFrame) -> pd.DataFrame:
    """What `_pack` was given. Raises KeyError, ValueError or IndexError for columns that lack or do not fit."""
    templates = packed["template"].astype("category")
    sizes = [f"{_SIZE}{at}" for at in range(sum(name.startswith(_SIZE) for name in packed.columns))]
    frame = packed[["dtype", "kernels", "kernel", "blocks", "threads", "template", *sizes]].copy()
    frame["signature"] = unpack_texts(
        PackedTexts(
            tuple(templates.cat.categories),
            templates.cat.codes.to_numpy().astype(np.int32),
            packed[sizes].to_numpy(dtype="int64").reshape(len(packed), len(sizes)),
        )
    )
    duration_ns = packed["duration_ns"]
    # Divided, not multiplied by 1e-9: the float that is nearest to the decimal, as rounding had made it.
    frame["duration_s"] = duration_ns / 1e9
    frame["earlier_s"] = (duration_ns + packed["earlier_minus_duration_ns"]) / 1e9
    frame["sm_clock_hz"] = (packed["sm_clock_mhz"] * 1e6).astype("float32")
    return frame
