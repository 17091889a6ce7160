"""The site's source: every page and file that is linked, a reference of what `irene` offers, a whole menu."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import irene

SITE = Path(__file__).parents[2] / "docs/site"


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_of_irene", SITE / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str) -> Any:
    home, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(home), attribute)


def test_the_reference_has_everything_that_irene_offers(site: ModuleType) -> None:
    listed = [load(name) for name in (*site.FUNCTIONS, *site.VALUES)]
    offered = [getattr(irene, name) for name in site.public_names()]
    errors = [value for value in offered if inspect.isclass(value) and issubclass(value, Exception)]
    assert all(error.__module__ == "irene.errors" for error in errors)
    missing = [
        value for value in offered
        if value not in errors and value not in listed and (inspect.isclass(value) or inspect.isfunction(value))
    ]  # fmt: skip
    assert not missing
    assert site.public_names() == irene.__all__


def test_pages_lie_as_in_the_repository_with_what_they_link_to(site: ModuleType, tmp_path: Path) -> None:
    site.lay_out(tmp_path)
    for name in ("README.md", "docs/recipes.md", "experiments/README.md", "docs/notebooks/first-look.ipynb"):
        assert (tmp_path / name).is_file()
    assert "::: irene.predictor.entry.predict" in (tmp_path / "reference.md").read_text("utf-8")
    menu = re.findall(r": (\S+\.md)$", (SITE / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert all((tmp_path / page).is_file() for page in menu)
    docs = {f"docs/{path.name}" for path in (SITE.parent).glob("*.md")}
    assert docs <= set(menu), "a page that no menu leads to"
