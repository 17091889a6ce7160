"""The gallery's page as text: every number there before any script, names in their place, files that cannot clash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from irene.predictor.prediction import Prediction
from irene.reporting.gallery import GalleryRow, gallery_row, name_files, render_gallery
from irene.units import format_quantity
from tests.reporting.test_report_page import Reader, text_of


@pytest.fixture
def row(bert: Prediction) -> GalleryRow:
    return gallery_row("bert", "batch of 8", bert, "models/bert.html")


def test_the_table_needs_no_script(row: GalleryRow, bert: Prediction) -> None:
    page = render_gallery([row, replace(row, asked="one input", fits=False)], "NVIDIA H200", [("x", "why not")])
    words = text_of(page)
    assert "The joules of 1 models" in words
    for text in (format_quantity(bert.energy_j, "J"), "batch 8, 128 tokens", "109", "does not fit", "why not"):
        assert text in words
    assert "models/bert.html" in Reader(page).addresses and "default-src 'none'" in page
    assert f'data-value="{bert.energy_j}"' in page  # what it is sorted by


def test_names_cannot_leave_their_place(row: GalleryRow) -> None:
    evil = '"><img src=x onerror=alert(1)>$css'
    page = render_gallery([replace(row, model=evil, asked=evil)], evil, [(evil, evil)])
    assert "x" not in Reader(page).addresses
    assert evil in text_of(page)


def test_what_has_no_number_is_a_dash(row: GalleryRow) -> None:
    words = text_of(render_gallery([replace(row, energy_per_token_j=None, power_w=None, memory_bytes=None)], "H200"))
    assert words.count("–") == 3


def test_files_never_leave_the_folder_or_clash() -> None:
    names = ["a/b", "a b", "A-B", "..", "/etc/passwd", "a" * 300 + "/"]
    files = name_files(names)
    assert len(set(files.values())) == len(names)
    assert all("/" not in file and not file.startswith(".") and len(file) <= 120 for file in files.values())
