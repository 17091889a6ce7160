"""`irene gallery`: a folder for any static host, with what could not be predicted said and not lost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from irene.cli.gallery_command import WORKLOADS
from irene.cli.main import run
from tests.reporting.test_report_page import Reader, text_of


def test_a_site_of_two_models_and_one_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert run(["gallery", "bert-tiny", "bert-mini", "no-such-model", "--output", str(site)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "6 rows, 2 reports, 1 failed" in captured.err
    page = (site / "index.html").read_text("utf-8")
    links = {address for address in Reader(page).addresses if address.startswith("models/")}
    assert len(links) == 2 and all((site / link).is_file() for link in links)
    assert "no-such-model" in page
    for link in links:
        assert text_of((site / link).read_text("utf-8")).count("What would change it") == len(WORKLOADS)
    rows = pd.read_csv(site / "gallery.csv")
    assert list(rows["asked"]) == [*WORKLOADS, *WORKLOADS]
    assert (rows["low_j"] < rows["energy_j"]).all() and (rows["energy_j"] < rows["high_j"]).all()


def test_no_model_at_all_is_said_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["gallery", "no-such-model", "--output", str(tmp_path)]) == 2
    assert "None of 1 models could be predicted" in capsys.readouterr().err
    assert not (tmp_path / "index.html").exists()
