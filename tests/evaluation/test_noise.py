"""The noise floor counts every repeat, and keeps one card apart from several."""

import numpy as np
import pandas as pd
import pytest

from irene.evaluation.noise import (
    OTHER_CARD,
    SAME_CARD,
    attach_noise,
    noise_by_call_pct,
    regime_of,
    repeat_noise_pct,
    tabulate_noise,
)
from tests.evaluation.made_rows import frame, gelu, model_row, primitive_row


def test_a_run_is_compared_with_the_median_of_the_others() -> None:
    assert repeat_noise_pct([2.0, 4.0]) == (100 * 2 / 4 + 100 * 2 / 2) / 2
    assert repeat_noise_pct([5.0, 5.0, 5.0]) == 0.0
    assert np.isnan(repeat_noise_pct([5.0]))


def test_regimes_meet_at_85_pct() -> None:
    assert [regime_of(u) for u in (84.99, 85.0, np.nan)] == ["host-bound", "GPU-bound", "not measured"]


@pytest.fixture
def runs() -> pd.DataFrame:
    rows = frame(
        model_row([gelu(4)], "bert", 2.0),
        model_row([gelu(4)], "reference", 4.0, model="bert", case="reference|bert", reference=True),
        model_row([gelu(4)], "bert", 6.0),
        model_row([gelu(4)], "opt", 1.0),
        primitive_row(gelu(4), "bert", 5.0),
        primitive_row(gelu(4), "bert", None, duration_s=1e-3),
        primitive_row(gelu(4), "bert", None, duration_s=2e-3),
    )
    return rows.assign(run=["a", "a", "b", "a", "a", "a", "b"])


def test_repeats_and_cards_are_apart_and_reference_calls_count(runs: pd.DataFrame) -> None:
    noise = noise_by_call_pct(runs).set_index("scope")["noise_pct"]
    assert noise.to_dict() == {SAME_CARD: 75.0, OTHER_CARD: 75.0}  # 2 and 4 J; their median 3 J and 6 J
    judged = attach_noise(frame(model_row([gelu(4)], "bert", 2.0), model_row([gelu(4)], "opt", 1.0)), runs)
    assert judged["noise_floor_pct"].tolist() == pytest.approx([75.0, np.nan], nan_ok=True)


def test_drawn_loads_are_no_repeats_of_equal_ones(runs: pd.DataFrame) -> None:
    drawn = frame(primitive_row(gelu(4), "bert", 50.0, drawn_load_deviation=1.0)).assign(run="a")
    assert noise_by_call_pct(pd.concat([runs, drawn], ignore_index=True)).equals(noise_by_call_pct(runs))


def test_rows_of_events_have_the_noise_of_their_time(runs: pd.DataFrame) -> None:
    judged = attach_noise(frame(primitive_row(gelu(4), "bert", None), primitive_row(gelu(4), "bert", 1.0)), runs)
    assert judged["card_noise_pct"].tolist() == pytest.approx([75.0, np.nan], nan_ok=True)
    table = tabulate_noise(runs).set_index(["quantity", "scope", "method"])
    assert table["mean"].to_dict() == pytest.approx(
        {
            ("energy", SAME_CARD, "window"): 75.0, ("energy", OTHER_CARD, "window"): 75.0,
            ("time", SAME_CARD, "window"): 0.0, ("time", OTHER_CARD, "window"): 0.0,
            ("time", OTHER_CARD, "events"): 75.0,
        }
    )  # fmt: skip
