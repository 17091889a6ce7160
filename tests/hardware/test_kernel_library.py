"""Kernel libraries are read strictly, and what they say moves what depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from irene.errors import BadInput, UnknownName
from irene.hardware import kernel_library
from irene.hardware.kernel_library import load_library, read_library

TEXT = (Path(kernel_library.__file__).parent / "libraries" / "hopper.toml").read_text()


def test_a_library_is_found_by_name() -> None:
    hopper = load_library("hopper")
    assert hopper == read_library(TEXT)
    assert (64, 8) in hopper.half.tiles and len(hopper.half.tiles) == len(hopper.half.slowness)
    with pytest.raises(UnknownName, match="hoper.*hopper"):
        load_library("hoper")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "hopper"', 'nam = "hopper"'),
        ('"cudnn", ', '"cudn", '),
        (', "math"]', "]"),
        ("few = 128", "few = -1"),
        ("few = 128", "fewer = 128"),
        ("walked_row_s = 5e-9", 'walked_row_s = "fast"'),
        ("launch_s = 2.2e-06", "launch_s = nan"),
        ("[products.tf32_split]", "[products.tf32_cut]"),
        ("k_step = 64", "k_steps = 64"),
        ("[64, 1.14, [", "[64, [1.14, "),
    ],
)
def test_what_is_no_library_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(BadInput, match="mine.toml: no kernel library"):
        read_library(TEXT.replace(old, new, 1), "mine.toml")


def test_a_library_may_be_like_another_but_for_attention() -> None:
    ampere, hopper = load_library("ampere"), load_library("hopper")
    assert ampere.half == hopper.half and ampere.attention_backends == ("flash", "efficient", "math")
    for broken in (
        'name = "x"\nlike = "hoppper"\nattention_backends = ["math"]',
        'name = "x"\nlike = "hopper"\nattention_backends = ["flash"]',
        'name = "x"\nlike = "hopper"\nattention_backends = ["math"]\nwalked_row_s = 1e-9',
    ):
        with pytest.raises(BadInput, match="no kernel library"):
            read_library(broken)
