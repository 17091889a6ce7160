"""A small dataset: three families and a reserved one, with primitives and a model each."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.evaluation.made_rows import frame, gelu, linear, model_row, primitive_row


@pytest.fixture
def rows() -> pd.DataFrame:
    """Three families and a reserved one: each has a product of its own, bert and gpt2 share one, all have a model."""
    made = [primitive_row(linear(8, 16, 32), "bert,gpt2", 1.0), primitive_row(linear(8, 16, 32), "bert,gpt2", None)]
    for number, family in enumerate(("bert", "gpt2", "opt", "gemma"), start=1):
        own = linear(8, 64 * number, 64)
        made += [
            primitive_row(own, family, 2.0),
            primitive_row(own, family, None),
            primitive_row(gelu(number), family, 1.0),
        ]
        made.append(model_row([own, gelu(number)], family, 2.0 * number))
    made.append(model_row([gelu(8)], "reference", 9.0, case="reference|bert", model="bert", reference=True))
    return frame(*made)
