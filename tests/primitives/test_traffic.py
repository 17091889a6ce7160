"""Bytes: what an ideal kernel reads and writes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from irene.primitives import Call, TensorSpec, Work, count_traffic_bytes, count_work, distinct_bytes, split_traffic
from irene.primitives.call import DTYPE_BYTES

sizes = st.integers(1, 64)
dtypes = st.sampled_from(["bfloat16", "float32", "int64", "bool"])


def dense(shape: tuple[int, ...], dtype: str) -> TensorSpec:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * size)
    return TensorSpec(shape, tuple(strides[-len(shape) :]), dtype)


@given(shape=st.tuples(sizes, sizes, sizes), dtype=dtypes, op=st.sampled_from(["aten.add.Tensor", "nobody.knows.this"]))
def test_traffic_is_at_least_the_output(shape, dtype, op):
    x = dense(shape, dtype)
    call = Call(op, (x, x), (), (x,))
    assert count_traffic_bytes(call) == 3 * x.bytes >= x.numel * DTYPE_BYTES[dtype]


@given(rows=st.integers(2, 64), columns=sizes)
def test_a_broadcast_operand_costs_less_than_a_materialised_one(rows, columns):
    x = dense((rows, columns), "float32")
    broadcast = replace(x, stride=(0, 1))
    assert count_traffic_bytes(Call("aten.mul.Tensor", (x, broadcast), (), (x,))) == 4 * (2 * rows + 1) * columns
    assert distinct_bytes(broadcast) * rows == distinct_bytes(x)


@given(shape=st.tuples(sizes, sizes), op=st.sampled_from(["view", "transpose", "slice", "detach", "empty", "expand"]))
def test_a_view_costs_nothing(shape, op):
    x = dense(shape, "float32")
    assert split_traffic(Call(f"aten.{op}.default", (x,), (), (x,))) == (0, 0, 0)


@given(work=st.lists(st.builds(Work, *[st.integers(0, 10**12)] * 5), max_size=6))
def test_work_adds_up(work):
    total = sum(work, Work())
    for name in ("flop", "matmul_flop", "vector_flop", "weight_bytes", "read_bytes", "write_bytes", "traffic_bytes"):
        assert getattr(total, name) == sum(getattr(w, name) for w in work)


def test_count_work_agrees_with_its_parts(linear):
    call = linear(64, 256, 512)
    work = count_work(call)
    assert work.flop == work.matmul_flop == 2 * 64 * 256 * 512
    assert (work.weight_bytes, work.read_bytes, work.write_bytes) == (256 * 512 * 2, 64 * 256 * 2, 64 * 512 * 2)
    assert work.traffic_bytes == count_traffic_bytes(call)
    assert work + work == work * 2
    assert count_work(call) is work


def test_gathers_read_rows_and_not_the_table(spec):
    table, indices, out = spec(50_000, 768, weight=True), spec(8, 128, dtype="int64"), spec(8, 128, 768)
    embedding = Call("aten.embedding.default", (table, indices), (), (out,))
    assert split_traffic(embedding) == (out.bytes, indices.bytes, out.bytes)
    small = spec(2, 768, weight=True)  # token types: two rows, read once
    assert split_traffic(Call("aten.embedding.default", (small, indices), (), (out,)))[0] == small.bytes
    x, rows = spec(100, 64), spec(10, dtype="int64")
    index = Call("aten.index.Tensor", (x, (rows,)), (), (spec(10, 64),))
    assert split_traffic(index) == (0, 10 * 64 * 2 + rows.bytes, 10 * 64 * 2)


def test_in_place_scatters_touch_only_the_rows_they_name(spec):
    x, rows, values = spec(100, 64), spec(10, dtype="int64"), spec(10, 64)
    touched = 10 * 64 * 2
    put = Call("aten.index_put_.default", (x, (rows,), values), (), (x,))
    assert split_traffic(put) == (0, rows.bytes + touched, touched)
    accumulate = Call("aten.index_put_.default", (x, (rows,), values, True), (), (x,))
    assert split_traffic(accumulate) == (0, rows.bytes + 2 * touched, touched)
    add = Call("aten.index_add_.default", (x, 0, rows, values), (), (x,))
    assert split_traffic(add) == (0, rows.bytes + 2 * touched, touched)
    fill = Call("aten.index_fill_.int_Scalar", (x, 0, rows, 1), (), (x,))
    assert split_traffic(fill) == (0, rows.bytes, touched)
    whole = Call("aten.index_put.default", (x, (rows,), values), (), (x,))
    assert split_traffic(whole) == (0, x.bytes + rows.bytes + touched, x.bytes)
    column = Call("aten.index_put_.default", (x, (None, spec(1, dtype="int64")), spec(100, 1)), (), (x,))
    assert split_traffic(column)[2] == 100 * 2
    mask = Call("aten.index_put_.default", (x, (spec(100, 64, dtype="bool"),), spec()), (), (x,))
    assert split_traffic(mask)[2] == x.bytes


def test_what_is_overwritten_is_not_read(spec):
    x, y = spec(64, 64), spec(64, 64, dtype="float32")
    assert split_traffic(Call("aten.copy_.default", (x, y), (), (x,))) == (0, y.bytes, x.bytes)
    assert split_traffic(Call("aten.zero_.default", (x,), (), (x,))) == (0, 0, x.bytes)
    assert split_traffic(Call("aten.zeros_like.default", (x,), (), (y,))) == (0, 0, y.bytes)
    assert split_traffic(Call("aten.uniform_.default", (x,), (), (x,))) == (0, 0, x.bytes)
    assert split_traffic(Call("aten.add_.Tensor", (x, y), (), (x,))) == (0, x.bytes + y.bytes, x.bytes)
    assert split_traffic(Call("aten.add.out", (x, x), (("out", x),), (x,))) == (0, 2 * x.bytes, x.bytes)
    assert split_traffic(Call("aten.type_as.default", (x, y), (), (y,))) == (0, x.bytes, y.bytes)
    assert split_traffic(Call("aten.to.dtype", (x, "torch.float32"), (), (y,))) == (0, x.bytes, y.bytes)


def test_cat_attention_and_experts(spec):
    a, b, out = spec(8, 16), spec(8, 48), spec(8, 64)
    assert split_traffic(Call("aten.cat.default", ((a, b), -1), (), (out,))) == (0, out.bytes, out.bytes)
    q, kv, mask = spec(2, 8, 16, 64), spec(2, 2, 32, 64), spec(2, 1, 16, 32)
    call = Call("aten.scaled_dot_product_attention.default", (q, kv, kv, mask), (("enable_gqa", True),), (q,))
    assert split_traffic(call) == (0, q.bytes + 2 * kv.bytes + mask.bytes, q.bytes)
    weights, offsets = spec(64, 128, 256, weight=True), spec(64, dtype="int32")
    for rows, hit in ((6, 6), (1000, 64)):  # six rows hit at most six experts
        x, y = spec(rows, 128), spec(rows, 256)
        grouped = Call("aten._grouped_mm.default", (x, weights), (("offs", offsets),), (y,))
        assert split_traffic(grouped) == (hit * 128 * 256 * 2, x.bytes + offsets.bytes, y.bytes)


def test_nothing_costs_nothing():
    empty = TensorSpec((0, 8), (8, 1), "float32")
    assert count_traffic_bytes(Call("aten.relu.default", (empty,), (), (empty,))) == 0
