"""Which rows may teach a predictor: none of the reserved families, and none of a variant of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.dataset.families import reserved_families

if TYPE_CHECKING:
    import pandas as pd


def teaching_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those that judge alone.

    A row of a variant has its name, with a '+', as its model: it says whether the predicted change was right, which it
    could not if it had taught.
    """
    reserved = reserved_families()
    is_reserved = rows["families"].map(lambda families: set(families.split(",")) <= reserved)
    is_variant = rows["model"].fillna("").astype(str).str.contains("+", regex=False)
    return rows[~is_reserved & ~is_variant]
