"""Which calls and trees the golden files pin: `python -m tests.golden.write --choose` chooses them anew.

Calls for columns are a cover: of each regressor every column that is ever other than 0 is so in one of them, and every
flag that is ever 0 is. Calls of leaves are drawn from each mode and temperature of each regressor. Some that no row has
are made here.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from irene.model_tree.serialization import tree_to_json
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call, TensorSpec, read_signature
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import is_transposed
from tests.golden.computing import TREES, Case, compute_columns, load_golden_tree, tabulate, tree_names
from tests.golden.tables import FOLDER

# Small trees of every sort: encoder, decoders, encoder-decoder, mixture, convolutions, pictures; each dtype.
_MODELS = {
    "bert-base": ("bert-base-uncased", {"batch_size": 8, "seq_len": 128}),
    "distilbert": ("distilbert-base-uncased", {"batch_size": 16, "seq_len": 256, "dtype": "float32"}),
    "llama-1b": ("meta-llama/Llama-3.2-1B", {"batch_size": 4, "seq_len": 1024, "task": "causal-lm"}),
    "t5-small": ("t5-small", {"batch_size": 8, "seq_len": 256, "decoder_seq_len": 64}),
    "moe": ("Qwen/Qwen1.5-MoE-A2.7B", {"batch_size": 2, "seq_len": 512}),
    "wav2vec2": ("facebook/wav2vec2-base", {"batch_size": 4, "seq_len": 48000}),
    "vit": ("google/vit-base-patch16-224", {"batch_size": 32, "dtype": "tf32"}),
    "opt": ("facebook/opt-125m", {"batch_size": 1, "seq_len": 32, "dtype": "float16"}),
}
_SEEN_OF_EACH = 200  # rows of each mode of each regressor that are looked at
_CALLS, _ROWS_OF_EACH = 100, 4
_FLAGS = ("is_", "has_", "any_", "kind_", "operator_", "dtype_", "regressor_")


def trace_trees() -> None:
    """Trace the models and store their trees."""
    from irene.tracing.tracer import trace  # here: doctest imports this file, and torch takes seconds

    TREES.mkdir(exist_ok=True)
    for name, (model, workload) in _MODELS.items():
        text = json.dumps(tree_to_json(trace(model, **workload)), separators=(",", ":"))  # type: ignore[arg-type]
        (TREES / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def choose_calls() -> None:
    """Choose the calls of both files and store them."""
    by_sort = _draw_rows()
    drawn = [case for cases in by_sort.values() for case in cases]
    made = list(_make_cases())
    from_trees = [case for name in tree_names() for case in _cases_of_tree(name)]
    _save("column_calls.json", [*_cover([*drawn, *from_trees], _CALLS), *made])
    _save("row_calls.json", [*(case for cases in by_sort.values() for case in cases[:_ROWS_OF_EACH]), *made])


def _draw_rows() -> dict[tuple[str, ...], list[Case]]:
    """Distinct measured primitives by regressor, mode and weights, in random order, always the same one."""
    from irene.dataset.store import load_rows

    rows = load_rows("data/h200")
    rows = rows[rows["level"] == "primitive"].drop_duplicates(["signature", "dtype", "weights"])
    rows = rows.sort_values(["signature", "dtype", "weights"]).sample(frac=1.0, random_state=0)
    columns = zip(rows["signature"], rows["dtype"], rows["weights"], strict=True)
    cases = [Case(read_signature(text), dtype, weights) for text, dtype, weights in columns]
    table = tabulate(cases)
    by_sort = defaultdict(list)
    for at, case in enumerate(cases):
        sort = (table.regressors[at], table.dtypes[at], case.weights)
        if len(by_sort[sort]) < _SEEN_OF_EACH:
            by_sort[sort].append(case)
    return dict(sorted(by_sort.items()))


def _cases_of_tree(name: str) -> list[Case]:
    tree = load_golden_tree(name)
    calls = dict.fromkeys(leaf.call for leaf in tree.root.leaves if leaf.call is not None)
    return [Case(call, tree.workload.dtype, "hot") for call in calls]


def _cover(cases: Sequence[Case], most: int) -> list[Case]:
    """Few cases that show what all of them show: greedily, the one that adds most first."""
    shown = _list_shown(cases)
    chosen: list[Case] = []
    seen: set[str] = set()
    by_name = {case.name: case for case in cases}
    while len(chosen) < most:
        name = max(shown, key=lambda name: len(shown[name] - seen))
        if not shown[name] - seen:
            break
        seen |= shown[name]
        chosen.append(by_name[name])
    left = set().union(*shown.values()) - seen
    print(f"{len(chosen)} calls show {len(seen)} things; {len(left)} are not shown: {sorted(left)[:20]}")
    return sorted(chosen, key=lambda case: case.name)


def _list_shown(cases: Sequence[Case]) -> dict[str, set[str]]:
    shown: dict[str, set[str]] = {case.name: set() for case in cases}
    for case in cases:
        call, own = case.call, shown[case.name]
        own.add(f"{kind_of(call)} {case.dtype}")
        if kind_of(call) == "attention":
            own.add(f"attention {attention_backend(call)} {case.dtype}")
        if kind_of(call) == "convolution":
            own.add(f"convolution {len(call.tensors[1].shape)} {is_transposed(call)}")
    for table, rows in compute_columns(cases).items():
        for row, values in rows.items():
            for column, value in values.items():
                if isinstance(value, str):
                    shown[row].add(f"{table} {column} {value}")
                elif column.startswith(_FLAGS) or value:
                    shown[row].add(f"{table} {column} {value != 0}")
    return shown


def _make_cases() -> Iterator[Case]:
    """Calls that no row has: kinds without rows, other kernels of attention, sizes beyond all that were measured."""
    half = "bfloat16"
    x = _dense((64, 1000), half)
    yield Case(Call("aten.bernoulli.default", (x,), (), (x,)), half, "hot")
    yield Case(Call("aten.special_bessel_j0.default", (x,), (), (x,)), half, "hot")
    yield Case(Call("collective.all_reduce_.default", (x, 2), (), (x,)), half, "hot")
    yield Case(Call("aten._fft_r2c.default", (x, (1,), 0, True), (), (_dense((64, 501), "complex64"),)), half, "hot")
    yield Case(Call("aten.view.default", (x, (64000,)), (), (_dense((64000,), half),), True), half, "hot")
    for head_size, kv_heads, dtype in ((100, 6, half), (192, 6, half), (256, 2, half), (264, 6, half), (96, 6, "tf32")):
        stored = "float32" if dtype == "tf32" else dtype
        q, k = _dense((3, 6, 200, head_size), stored), _dense((3, kv_heads, 77, head_size), stored)
        named = (("enable_gqa", True),) if kv_heads != 6 else ()
        causal = head_size == 192
        args = (q, k, k, None, 0.0, causal)
        yield Case(Call("aten.scaled_dot_product_attention.default", args, named, (q,)), dtype, "hot")
    for rows in (2**20, 2**22, 2**24):
        a, w, out = _dense((rows, 16384), half), _dense((16384, 16384), half, True), _dense((rows, 16384), half)
        yield Case(Call("aten.linear.default", (a, w), (), (out,)), half, "cold")
    picture, weight = _dense((8, 16, 40, 40), half), _dense((16, 24, 3, 3), half, True)
    args = (picture, weight, None, (2, 2), (1, 1), (1, 1), 1)
    yield Case(Call("aten.conv_transpose2d.input", args, (), (_dense((8, 24, 81, 81), half),)), half, "hot")


def _dense(shape: tuple[int, ...], dtype: str, weight: bool = False) -> TensorSpec:
    stride = tuple(int(np.prod(shape[at + 1 :], dtype=np.int64)) for at in range(len(shape)))
    return TensorSpec(shape, stride, dtype, weight)


def _save(file: str, cases: Sequence[Case]) -> None:
    lines = [json.dumps([json.loads(c.call.signature), c.dtype, c.weights], separators=(",", ":")) for c in cases]
    (FOLDER / file).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
