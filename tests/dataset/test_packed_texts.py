"""Packed texts come back to the letter, whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.dataset.packed_texts import pack_texts, unpack_texts

_PIECE = st.one_of(st.integers(0, 10**20).map(str), st.sampled_from(["f(", ", ", "007", "%d %s", "-", "é", "\n", ""]))


@given(st.lists(st.lists(_PIECE, max_size=6).map("".join), max_size=12))
def test_texts_come_back(texts: list[str]) -> None:
    assert unpack_texts(pack_texts(texts)) == texts


def test_only_numbers_that_differ_are_columns() -> None:
    packed = pack_texts(["a[8,16] b[16] bfloat16", "a[9,16] b[16] bfloat16", "c 4", "a[8,17] b[17] bfloat16"])
    assert len(packed.templates) == 2
    assert packed.numbers.tolist() == [[8, 16], [9, 16], [0, 0], [8, 17]]


def test_a_text_with_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        pack_texts(["a\x010\x02"])
