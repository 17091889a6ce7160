"""Nothing that is judged may have taught: families and sites are held out whole."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.errors import BadDataset, BadInput
from irene.evaluation.splits import (
    Fold,
    leave_one_family_out,
    leave_reserve_out,
    leave_sites_out,
    site_of,
)
from irene.primitives.call import Argument, Call, TensorSpec


def tensor(*shape: int, dtype: str = "bfloat16") -> TensorSpec:
    stride = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return TensorSpec(shape, stride, dtype)


def signature(op: str, *args: Argument, output: TensorSpec | None = None) -> str:
    return Call(f"aten.{op}.default", args, outputs=(output,) if output else ()).signature


def linear(m: int, n: int, k: int, dtype: str = "bfloat16") -> str:
    return signature("linear", tensor(m, k, dtype=dtype), tensor(n, k, dtype=dtype), output=tensor(m, n, dtype=dtype))


def frame(*rows: tuple[str, str], level: str = "primitive", reference: bool = False) -> pd.DataFrame:
    """Rows of (families, signature); the case is the row's number."""
    families, signatures = zip(*rows, strict=True)
    return pd.DataFrame(
        {"case": [str(i) for i in range(len(rows))], "families": families, "signature": signatures,
         "level": level, "reference": reference}
    )  # fmt: skip


def picked(fold: Fold) -> tuple[list[int], list[int]]:
    return np.flatnonzero(fold.train).tolist(), np.flatnonzero(fold.test).tolist()


def test_shared_signatures_stay_in_training_own_ones_leave() -> None:
    rows = frame(("bert", "s0"), ("bert,gpt2", "s1"), ("gpt2", "s2"), ("grid", "s3"), ("bert,grid", "s4"))
    folds = {fold.name: picked(fold) for fold in leave_one_family_out(rows)}
    assert folds == {"bert": ([1, 2, 3, 4], [0]), "gpt2": ([0, 1, 3, 4], [2])}
    strict = {fold.name: picked(fold) for fold in leave_one_family_out(rows, ["bert"], random_trains=False)}
    assert strict == {"bert": ([1, 2, 3], [0, 4])}  # the grid's point that is bert's is gone, its others are not


def test_drawn_loads_neither_teach_nor_are_judged_nor_name_a_family() -> None:
    rows = frame(("bert", linear(8, 8, 8)), ("gpt2", linear(8, 8, 8)), ("gpt2", linear(8, 16, 8)))
    rows["drawn_load_deviation"] = [None, 1.0, None]
    folds = {fold.name: picked(fold) for fold in leave_one_family_out(rows)}
    assert folds == {"bert": ([2], [0]), "gpt2": ([0], [2])}
    assert [picked(fold) for fold in leave_sites_out(rows, 2)] in ([([0], [2]), ([2], [0])], [([2], [0]), ([0], [2])])


def test_generations_neither_teach_nor_are_judged() -> None:
    rows = frame(("bert", linear(8, 8, 8)), ("gpt2", linear(8, 8, 8)), ("gpt2", linear(8, 16, 8)))
    rows["level"] = ["primitive", "decode_step", "generation"]
    assert not any(fold.train[place] or fold.test[place] for fold in leave_one_family_out(rows) for place in (1, 2))


def test_a_signature_has_the_families_of_all_its_rows() -> None:
    """Two plans, or hot and cold rows, may name different families for one signature."""
    rows = frame(("bert", "same"), ("gpt2", "same"), ("bert", "own"), ("bert", "own"), ("t5", "x"))
    folds = {fold.name: picked(fold) for fold in leave_one_family_out(rows)}
    assert folds["bert"] == ([0, 1, 4], [2, 3])
    assert "gpt2" not in folds  # all it launches is launched by bert too: nothing to judge


def test_rows_without_signature_go_by_their_own_family() -> None:
    rows = frame(("bert", ""), ("gpt2", ""), ("gpt2", ""), level="model")
    assert {f.name: picked(f) for f in leave_one_family_out(rows)} == {"bert": ([1, 2], [0]), "gpt2": ([0], [1, 2])}


def test_reserved_families_neither_teach_nor_are_judged() -> None:
    rows = frame(("bert", "a"), ("gpt2", "b"), ("gemma", "c"), ("bart,gemma", "d"), ("bert,gemma", "e"), ("gpt2", "f"))
    folds = {fold.name: picked(fold) for fold in leave_one_family_out(rows)}
    assert folds == {"bert": ([1, 5], [0, 4]), "gpt2": ([0, 4], [1, 5])}  # gemma alone would not keep row 4
    reserve = {fold.name: picked(fold) for fold in leave_reserve_out(rows)}
    assert reserve == {"bart": ([0, 1, 4, 5], [3]), "gemma": ([0, 1, 4, 5], [2, 3])}
    with pytest.raises(BadInput, match="reserved"):
        list(leave_one_family_out(rows, ["gemma"]))
    with pytest.raises(BadInput, match="No rows of family 'opt'"):
        list(leave_one_family_out(rows, ["opt"]))


def test_reference_calls_are_kept_apart_and_nameless_rows_refused() -> None:
    rows = frame(("bert", "a"), ("gpt2", "b"), ("", "c"))
    with pytest.raises(BadDataset, match="case '2'"):
        list(leave_one_family_out(rows))
    rows["reference"] = [False, False, True]
    assert [picked(fold) for fold in leave_one_family_out(rows)] == [([1], [0]), ([0], [1])]


def test_a_reference_call_keeps_no_signature_in_training() -> None:
    rows = frame(("bert", "a"), ("gpt2", "b"), ("reference", "a"))
    rows["reference"] = [False, False, True]
    assert {f.name: picked(f) for f in leave_one_family_out(rows)} == {"bert": ([1], [0]), "gpt2": ([0], [1])}


names = st.sampled_from(["bert", "gpt2", "t5", "gemma", "bart", "grid"])
any_rows = st.lists(
    st.tuples(st.sets(names, min_size=1).map(lambda s: ",".join(sorted(s))), st.sampled_from("abcdefgh")),
    min_size=2,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(any_rows, st.booleans())
def test_no_leak(rows: list[tuple[str, str]], random_trains: bool) -> None:
    data = frame(*rows)
    owners: dict[str, set[str]] = {}
    for families, text in rows:
        owners.setdefault(text, set()).update(families.split(","))
    for fold in leave_one_family_out(data, random_trains=random_trains):
        taught, judged = set(data["signature"][fold.train]), set(data["signature"][fold.test])
        assert not taught & judged and not (fold.train & fold.test).any()
        teachers = {"bert", "gpt2", "t5", "grid"} - {fold.name}
        assert all(owners[text] & teachers for text in taught)
        assert all(fold.name in owners[text] for text in judged)


@pytest.mark.parametrize(
    ("text", "site"),
    [
        (linear(64, 3072, 768), ("product", 3072, 768, "bfloat16")),
        (linear(8, 3072, 768, "float32"), ("product", 3072, 768, "float32")),
        (signature("mm", tensor(64, 768), tensor(768, 3072)), ("product", 3072, 768, "bfloat16")),
        (signature("addmm", tensor(3072), tensor(64, 768), tensor(768, 3072)), ("product", 3072, 768, "bfloat16")),
        (signature("_grouped_mm", tensor(64, 768), tensor(4, 768, 3072)), ("product", 3072, 768, "bfloat16")),
        (signature("conv2d", tensor(1, 3, 224, 224), tensor(768, 3, 16, 16)), ("product", 768, 768, "bfloat16")),
        (
            signature(
                "scaled_dot_product_attention", tensor(2, 32, 9, 128), tensor(2, 8, 7, 128), tensor(2, 8, 7, 128)
            ),
            ("attention", 32, 8, 128, "bfloat16"),
        ),
        (signature("gelu", tensor(2, 9, 3072), output=tensor(2, 9, 3072)), ("gelu", 3072)),
        (signature("embedding", tensor(30522, 768), tensor(2, 9), output=tensor(2, 9, 768)), ("embedding", 768)),
        (signature("rsub", tensor(), output=tensor()), ("rsub", 1)),
    ],
)
def test_sites(text: str, site: tuple[str | int, ...]) -> None:
    assert site_of(text) == site


@pytest.mark.parametrize("text", ["", "{", "[]", '{"op": "aten.mm.default"}'])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(BadDataset, match="Not the signature"):
        site_of(text)


def test_sites_are_held_out_whole_and_once() -> None:
    texts = [
        linear(m, 768 * n, 768, dtype) for m in (1, 8, 64) for n in (1, 2, 3, 4) for dtype in ("float32", "bfloat16")
    ]
    texts += [signature("gelu", tensor(m, 64 * n), output=tensor(m, 64 * n)) for m in (1, 8) for n in (1, 2, 3)]
    rows = frame(*[("bert", text) for text in texts], ("gemma", linear(3, 5, 7)), ("grid", linear(5, 768, 768)))
    model = frame(("bert", ""), level="model")
    rows = pd.concat([rows, model], ignore_index=True)
    folds = list(leave_sites_out(rows, folds=4))
    judged = np.sum([fold.test for fold in folds], axis=0)
    assert judged.tolist() == [1] * len(texts) + [0, 1, 0]  # reserved and model rows never, the rest exactly once
    for fold in folds:
        assert not (fold.train & fold.test).any()
        assert not {site_of(s) for s in rows["signature"][fold.train]} & {
            site_of(s) for s in rows["signature"][fold.test]
        }
        assert int((fold.train | fold.test).sum()) == len(texts) + 1
        assert any(site_of(s)[0] == "product" for s in rows["signature"][fold.test])  # every fold has every large kind
    other = [fold.test.tolist() for fold in leave_sites_out(rows, folds=4, seed=1)]
    assert other != [fold.test.tolist() for fold in folds]
    within = folds[0].train
    assert not any(((f.train | f.test) & ~within).any() for f in leave_sites_out(rows, folds=3, within=within))
