"""A survey without a GPU: small products really run on the CPU, the profiler's answers are made up."""

from __future__ import annotations

import itertools
import random
import time

import pytest
import torch

from irene.dataset.manifest import seal_tables
from irene.dataset.surveys import load_surveys, write_survey
from irene.errors import BadDataset
from irene.hardware.devices import load_device
from irene.hardware.roofline import roofline_s
from irene.measuring.kernel_traces import Kernel, ProfiledCall
from irene.measuring.random_shapes import dense, stream_random_calls
from irene.measuring.survey import DRAWS, SORTS, draw_products, make_pool, survey
from irene.primitives.call import Call, read_signature
from irene.primitives.shapes import gemm_shape
from irene.primitives.work import count_work

LINEAR = Call(
    "aten.linear.default", (dense((4, 8), "bfloat16"), dense((16, 8), "bfloat16", weight=True)), (),
    (dense((4, 16), "bfloat16"),),
)  # fmt: skip
SCORES = Call(
    "aten.bmm.default", (dense((2, 3, 8), "float32"), dense((2, 5, 8), "float32", order=(0, 2, 1))), (),
    (dense((2, 3, 5), "float32"),),
)  # fmt: skip


def run_survey(drawn, groups):
    pool = make_pool(torch.device("cpu"), 4096, 0)

    def profile(runs):
        for run in runs:
            run()
        return [ProfiledCall(tuple(kernels), 1.9e9) for kernels in groups]

    return survey(iter(drawn), time.monotonic() + 60, pool, profile, random.Random(0))


def kernel(name, duration_s):
    return Kernel(name, 6, 128, duration_s)


def test_a_row_is_the_last_of_three_equal_runs():
    split = [kernel("gemm", 3e-6), kernel("reduce", 1e-6)]
    rows = run_survey(
        [(LINEAR, "bfloat16"), (SCORES, "tf32")], [split * 3, [kernel("sgemm", t) for t in (9.0, 2.0, 3.0)]]
    )
    first, second = rows
    assert (first.kernel, first.kernels, first.blocks) == ("gemm", 2, 6)
    assert first.duration_s == pytest.approx(4e-6)
    assert read_signature(first.signature) == LINEAR
    assert (second.duration_s, second.earlier_s, second.dtype) == (3.0, 2.0, "tf32")


@pytest.mark.parametrize("names", [[], ["a", "b"], ["a", "b", "c"]])
def test_a_call_that_did_not_run_thrice_alike_is_no_row(names):
    assert run_survey([(LINEAR, "bfloat16")], [[kernel(name, 1e-6) for name in names]]) == []


def test_a_lost_launch_costs_its_chunk_only():
    good = ProfiledCall((kernel("gemm", 1e-6),) * 3, 1.9e9)
    answers = iter([ValueError("lost"), [good] * 108])

    def profile(runs):
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    pool = make_pool(torch.device("cpu"), 4096, 0)
    rows = survey(iter([(LINEAR, "bfloat16")] * 500), time.monotonic() + 60, pool, profile, random.Random(0))
    assert len(rows) == 108  # the last hundred, and eight of the first once more


def test_draws_are_mostly_longer_than_a_launch_and_of_every_dtype():
    spec = load_device("h200")
    even = DRAWS["even"]
    drawn = list(itertools.islice(draw_products(even, random.Random(0), spec), 400))
    assert {mode for _, mode in drawn} == set(even.shares)
    long_ones = sum(roofline_s(count_work(call), mode, spec) > 5e-6 for call, mode in drawn)
    plain = itertools.islice(stream_random_calls(SORTS, even.shares, random.Random(0)), 400)
    assert long_ones > 300 > sum(roofline_s(count_work(call), mode, spec) > 5e-6 for call, mode in plain)


def test_a_hard_draw_has_fewer_of_many_rows_and_more_float32():
    spec = load_device("h200")
    even, hard = (list(itertools.islice(draw_products(d, random.Random(0), spec), 400)) for d in DRAWS.values())
    for holds in (lambda call, _: gemm_shape(call).m <= 2048, lambda _, mode: mode in ("float32", "tf32")):
        assert sum(holds(*drawn) for drawn in hard) > 1.15 * sum(holds(*drawn) for drawn in even)


def test_a_survey_comes_back_as_it_was_written(tmp_path):
    rows = run_survey([(LINEAR, "bfloat16"), (SCORES, "tf32")], [[kernel("g", 1e-6)] * 3, [kernel("s", 2e-6)] * 3])
    (tmp_path / "survey-1").mkdir()
    paths = write_survey(rows, tmp_path / "survey-1")
    assert [path.name for path in paths] == ["survey-bfloat16.parquet", "survey-tf32.parquet"]
    frame = load_surveys(tmp_path)
    assert frame["signature"].tolist() == [LINEAR.signature, SCORES.signature]
    assert frame["duration_s"].tolist() == pytest.approx([1e-6, 2e-6])
    assert load_surveys(tmp_path / "nowhere").empty


def test_a_broken_survey_is_named(tmp_path):
    (tmp_path / "survey-tf32.parquet").write_bytes(b"no parquet")
    seal_tables(tmp_path)
    with pytest.raises(BadDataset, match=r"survey-tf32\.parquet is no readable survey"):
        load_surveys(tmp_path)
    (tmp_path / "survey-tf32.parquet").write_bytes(b"other bytes")
    with pytest.raises(BadDataset, match=r"survey-tf32\.parquet: its digest is not"):
        load_surveys(tmp_path)
