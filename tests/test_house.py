"""The house as a whole: what may be imported where, and what is public."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import irene

ROOT = Path(irene.__file__).parent
MOST_LINES = 250
STILL_LONGER = {"irene/tracing/grid.py": 275, "irene/predictor/bundle.py": 275}  # to be split, and then no longer here
PUBLIC_FUNCTIONS = {
    "irene.predict", "irene.trace", "irene.load_tree", "irene.predictor.predict", "irene.predictor.train",
    "irene.predictor.calibrate",
    "irene.tracing.trace", "irene.evaluation.evaluate", "irene.measuring.collect", "irene.compare", "irene.explain",
    "irene.explanation.compare", "irene.explanation.explain", "irene.load_prediction", "irene.load_config",
}  # fmt: skip


def test_public_surface_is_sorted_and_there() -> None:
    assert irene.__all__ == sorted(irene.__all__)
    for name in irene.__all__:
        assert getattr(irene, name) is not None
    assert set(irene.__all__) <= set(dir(irene))
    with pytest.raises(AttributeError, match="predikt"):
        irene.predikt  # noqa: B018


def test_importing_every_submodule_leaves_public_functions_callable() -> None:
    for module in pkgutil.walk_packages(irene.__path__, "irene."):
        importlib.import_module(module.name)
    for name in PUBLIC_FUNCTIONS:
        home, _, function = name.rpartition(".")
        value = getattr(importlib.import_module(home), function)
        assert callable(value) and not inspect.ismodule(value), name


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import irene, irene.predictor, irene.tracing, irene.measuring", "numpy torch transformers pandas xgboost"),
        ("import irene; irene.predict.__doc__", "torch transformers pandas sklearn xgboost scipy"),
    ],
)
def test_importing_irene_is_cheap(code: str, heavy: str) -> None:
    """The public functions and their signatures too: heavy packages wait for the first call."""
    loaded = f"import sys; {code}; sys.exit(' '.join(sorted(set({heavy.split()}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("name", sorted(PUBLIC_FUNCTIONS))
def test_help_shows_real_keywords(name: str) -> None:
    home, _, function = name.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(home), function))
    hidden = [p.name for p in signature.parameters.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert signature.parameters and not hidden


@pytest.mark.parametrize(("package", "room"), [("pynvml", "meters"), ("networkx", "model_tree"), ("typer", "cli")])
def test_one_room_knows_each_library(package: str, room: str) -> None:
    """Also where it is imported by name (`import_module("pynvml")`), which import-linter cannot see."""
    found = {path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py") if package in _imported(path)}
    assert found <= {room}


def test_some_libraries_are_loaded_only_where_they_are_used() -> None:
    """Inside the functions that draw a page, export a graph or start processes: no import of irene waits for them."""
    late = {"joblib", "matplotlib", "networkx", "plotly", "sklearn", "xgboost"}
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert not late & {name.split(".")[0] for name in names}, f"{path} imports {names} at once."


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            names |= {str(a.value).split(".")[0] for a in node.args if isinstance(a, ast.Constant)}
    return names


def test_files_stay_readable() -> None:
    checkout = ROOT.parent
    for path in [file for folder in ("irene", "tests", "experiments") for file in (checkout / folder).rglob("*.py")]:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(checkout).as_posix()
        assert text.count("\n") <= STILL_LONGER.get(name, MOST_LINES), f"{name} is too long: split it by its ideas."
        if path.is_relative_to(ROOT) and path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(text)), f"{name} does not say its job in a docstring."
