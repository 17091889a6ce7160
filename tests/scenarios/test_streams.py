"""Draws as the published library draws them, lengths from files and by name, padding, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irene.errors import BadInput, UnknownName
from irene.scenarios.lengths import draw_lengths
from irene.scenarios.streams import INSTANCES, Padding, Scenario, Shape, draw_stream

# numpy.random.seed(42), numpy.random.poisson(128): 31 sizes reach 3,880 instances, the last is what is left of 4,000.
SIZES = [
    124, 136, 115, 131, 140, 116, 121, 126, 132, 121, 127, 117, 131, 131, 121, 134, 113, 120, 122, 129, 131, 109,
    101, 124, 140, 120, 114, 138, 135, 138, 123, 120,
]  # fmt: skip


def test_sizes_are_those_of_seed_42() -> None:
    stream = draw_stream(Scenario(name="poisson_batch"))
    assert stream.sizes.tolist() == SIZES
    state = np.random.get_state()
    np.random.seed(42)
    drawn = np.random.poisson(128, size=100)
    np.random.set_state(state)
    assert drawn[: len(SIZES) - 1].tolist() == SIZES[:-1] and sum(SIZES) == 4000 < drawn[: len(SIZES)].sum()


def test_more_instances_go_on_with_the_same_draws() -> None:
    many = draw_stream(Scenario(name="random_batch", instances=30_000)).sizes
    assert many[: len(SIZES) - 1].tolist() == SIZES[:-1] and many.sum() == 30_000 and len(many) > 200
    small = draw_stream(Scenario(name="poisson_batch", instances=50, batch_size=1)).sizes
    assert small.sum() == 50 and small.min() >= 1


def test_scenarios_have_the_published_sizes() -> None:
    assert INSTANCES["single_stream"] == 1000 and INSTANCES["poisson_batch"] == 4000 and INSTANCES["offline"] == 8000
    fixed = draw_stream(Scenario(name="fixed_batch")).sizes
    assert set(fixed[:-1]) == {128} and fixed[-1] == 32 and fixed.sum() == 4000
    assert draw_stream(Scenario(name="single_stream", instances=3)).sizes.tolist() == [1, 1, 1]
    offline = draw_stream(Scenario(name="offline", instances=300), "uniform:1:512", "uniform:1:9")
    assert (np.diff(offline.tokens) <= 0).all() and offline.sizes.tolist() == [128, 128, 44]
    arriving = draw_stream(Scenario(name="poisson_arrivals", rate_per_s=50, instances=20_000))
    assert np.diff(arriving.arrival_s).mean() == pytest.approx(0.02, rel=0.03) and not len(arriving.sizes)


def test_padding_is_to_the_longest_of_each_batch() -> None:
    stream = draw_stream(Scenario(name="fixed_batch", instances=7, batch_size=3), "uniform:1:100", "uniform:1:9")
    shapes = stream.shapes(Padding())
    for shape, first in zip(shapes, stream.starts, strict=True):
        batch = slice(first, first + 3)
        assert shape.tolist() == [len(stream.tokens[batch]), stream.tokens[batch].max(), stream.new_tokens[batch].max()]
    padded = stream.shapes(Padding(tokens=16, rows=2))
    assert (padded[:, :2] % [2, 16] == 0).all() and (padded >= shapes).all() and (padded - shapes < [2, 16, 1]).all()
    assert Padding(tokens=16, rows=2).shape(3, int(shapes[0, 1]), 4) == Shape(4, int(padded[0, 1]), 4)


def test_lengths_by_name_and_from_a_file(tmp_path: Path) -> None:
    drawn = draw_lengths("lognormal:100:0.5:512", 20_000, seed=1)
    assert np.median(drawn) == pytest.approx(100, rel=0.02) and drawn.max() == 512 and drawn.min() >= 1
    assert np.log(drawn[drawn < 512]).std() == pytest.approx(0.5, rel=0.03)
    assert set(draw_lengths("uniform:3:5", 1000, seed=0)) == {3, 4, 5}
    path = tmp_path / "lengths.txt"
    path.write_text("7\n\n 9 \n512\n")
    assert draw_lengths(str(path), 5, seed=0).tolist() == [7, 9, 512, 7, 9]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has none: expected one whole number a line"), ("\n \n", "has none"), ("12\nx\n", "line 2: expected one"),
     ("0\n", "line 1"), ("-3\n", "line 1"), ("1.5\n", "line 1")],
)  # fmt: skip
def test_files_that_are_no_lengths(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        draw_lengths(str(path), 5, seed=0)


@pytest.mark.parametrize(
    "spec", ["uniform:5", "uniform:9:5", "uniform:0:5", "lognormal:5:x:9", "lognormal:5:0.5", "fixed:0"]
)
def test_distributions_that_mean_nothing(spec: str) -> None:
    with pytest.raises(BadInput, match="expected (uniform:LEAST|lognormal:MEDIAN|fixed:TOKENS)"):
        draw_lengths(spec, 5, seed=0)


def test_unknown_names_and_numbers_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown distribution of lengths 'unifrom'. Did you mean 'uniform'"):
        draw_lengths("unifrom:1:2", 5, seed=0)
    with pytest.raises(BadInput, match="Cannot read the file of lengths"):
        draw_lengths(str(tmp_path / "none.txt"), 5, seed=0)
    with pytest.raises(UnknownName, match="Unknown scenario 'single-stream'. Did you mean 'single_stream'"):
        Scenario(name="single-stream")
    for given, message in (
        ({"name": "poisson_arrivals"}, "needs a rate"), ({"name": "poisson_arrivals", "rate_per_s": 0.0}, "above 0"),
        ({"name": "poisson_arrivals", "rate_per_s": float("nan")}, "above 0"),
        ({"name": "poisson_arrivals", "rate_per_s": 1.0, "window_s": -1.0}, "window must be"),
        ({"name": "offline", "rate_per_s": 3.0}, "offline has neither"),
        ({"name": "single_stream", "batch_size": 2}, "one instance at a time"),
        ({"name": "fixed_batch", "batch_size": 0}, "batch_size must be from 1"),
        ({"name": "fixed_batch", "instances": 0}, "instances must be from 1"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            Scenario(**given)
    with pytest.raises(BadInput, match="Padding is to multiples"):
        Padding(tokens=0)
