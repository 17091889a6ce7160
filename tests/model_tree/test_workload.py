"""A workload is checked where it is built, and nowhere can a wrong one be made."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from irene.errors import BadInput
from irene.model_tree.workload import SIZES, Workload, check_sizes, describe_workload


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": None}, "batch_size must be"),
        ({"seq_len": True}, "seq_len must be .* got True"),
        ({"decoder_seq_len": 1.0}, "decoder_seq_len must be"),
        ({"new_tokens": -1}, "new_tokens must be a whole number of at least 0"),
        ({"dtype": "bfloat61"}, "Did you mean 'bfloat16'"),
        ({"execution": "graph"}, "Unknown execution 'graph'"),
        ({"batch_size": 2**20, "decoder_seq_len": 2**20}, "beyond any machine"),
    ],
)
def test_a_wrong_one_cannot_be_made(given: dict[str, Any], words: str) -> None:
    for build in (lambda: Workload(**given), lambda: replace(Workload(), **given)):
        with pytest.raises(BadInput, match=words):
            build()


def test_it_is_built_by_names_alone() -> None:
    with pytest.raises(TypeError):
        Workload(8, 128)  # type: ignore[misc]
    assert Workload(seq_len=None, dtype="float64").decoder_seq_len is None  # a module may be of any dtype


def test_sizes_are_named_as_the_user_spells_them() -> None:
    with pytest.raises(BadInput, match="^--batch-size must be"):
        check_sizes({"batch_size": 0, "task": "base"}, prefix="--", joint="-")
    whole = {field.name for field in fields(Workload) if "int" in str(field.type)}
    assert set(SIZES) == whole


def test_words() -> None:
    work = Workload(batch_size=2, seq_len=8, decoder_seq_len=4, new_tokens=3, execution="cuda_graph")
    assert describe_workload(work) == ("batch 2, 8 tokens, 4 decoder tokens, 3 new tokens, bfloat16, base, cuda_graph")
    assert describe_workload(Workload(seq_len=None)) == "batch 1, bfloat16, base, eager"
