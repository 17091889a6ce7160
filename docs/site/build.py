"""Build the site of the docs, broken links being errors: `python docs/site/build.py --output site` (extra `[docs]`).

Pages link to each other, and to files, as they lie in the repository. So the site is built of a folder laid out alike:
all pages, every file that one links to, and a reference that is written from the docstrings.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "experiments/**/*.md", "data/**/*.md")
VALUES = (
    "irene.predictor.prediction.Prediction", "irene.predictor.prediction.NodePrediction",
    "irene.explanation.explanation.Explanation", "irene.explanation.comparison.Comparison",
    "irene.predictor.sweep_values.Sweep", "irene.predictor.phases.GenerationAnswers",
    "irene.model_tree.workload.Workload", "irene.hardware.spec.DeviceSpec", "irene.predictor.runtime.RuntimeFeatures",
)  # fmt: skip
FUNCTIONS = (
    "irene.predictor.entry.predict", "irene.explanation.explaining.explain", "irene.explanation.comparing.compare",
    "irene.predictor.entry.sweep", "irene.tracing.tracer.trace", "irene.tracing.sources.load_config",
    "irene.model_tree.serialization.load_tree", "irene.predictor.prediction_files.load_prediction",
    "irene.predictor.prediction_files.save_prediction", "irene.predictor.entry.train",
)  # fmt: skip


def lay_out(folder: Path) -> None:
    """Copy the pages and the files that they link to, write the reference."""
    pages = [page for place in PLACES for page in sorted(ROOT.glob(place))]
    linked = {target for page in pages for target in links_of(page)}
    for source in {*pages, *linked}:
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (folder / "reference.md").write_text(reference(), "utf-8")


def links_of(page: Path) -> Iterator[Path]:
    """Files of the repository that a page links to."""
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        target = (page.parent / link).resolve()
        if "://" not in link and target.is_file() and target.is_relative_to(ROOT):
            yield target


def reference() -> str:
    """A page of what `irene` offers, each by its docstring; mkdocstrings fills it in."""
    parts = ["# Python", "", "`import irene` offers these; what they return stands below.", "", "## Functions", ""]
    parts += [f"::: {name}\n" for name in FUNCTIONS]
    parts += ["## Values", "", *(f"::: {name}\n" for name in VALUES), "## Errors", "", "::: irene.errors\n"]
    return "\n".join(parts)


def public_names() -> list[str]:
    """What `irene.__all__` lists, read without importing it."""
    for node in ast.parse((ROOT / "irene/__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise LookupError("irene/__init__.py has no __all__")


def build(output: Path) -> int:
    """Run mkdocs in strict mode; its exit status."""
    settings = Path(__file__).with_name("mkdocs.yml").read_text("utf-8")
    with TemporaryDirectory() as folder:
        source = Path(folder, "pages")
        lay_out(source)
        settings = settings.replace('paths: ["."]', f"paths: ['{ROOT}']").replace('"docs/site/', f'"{ROOT}/docs/site/')
        config = Path(folder, "mkdocs.yml")
        config.write_text(f"{settings}docs_dir: {source}\nsite_dir: {output.resolve()}\n", "utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # the versions are bounded in pyproject.toml
        return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build/site")
    raise SystemExit(build(parser.parse_args().output))
