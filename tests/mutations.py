"""Would the tests notice? One line of irene is made wrong at a time, and the tests that should fail are run.

    python tests/mutations.py                  # all, some minutes
    python tests/mutations.py splits margin    # those whose name contains one of the words

No part of the normal run. Each line is found by what it says in whatever file below irene/ it stands, so that moved
files need no change here; a text that is found nowhere, or in two places, is an error. Everything happens in a copy of
the working tree in a temporary folder. Exit status 1 if a mutation survives or cannot be made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_COPIED = ("irene", "tests", "pyproject.toml", "README.md")  # the rest is linked to: tests only read it
_GOLDEN = "test_golden.py"
_MOST_S = 900  # of one run of tests: a mutation that hangs is noticed


@dataclass(frozen=True, slots=True)
class Mutation:
    """`was` becomes `instead`; `was` occurs once in all of irene. `tests` are names of test files."""

    name: str
    was: str
    instead: str
    tests: tuple[str, ...] = (_GOLDEN,)


MUTATIONS = (
    # What regressors see.
    Mutation(
        "power sees FLOP for bytes",
        "np.log2(table.traffic_bytes / burst_s / 1e12",
        "np.log2(table.flop / burst_s / 1e12",
    ),
    Mutation(
        "power sees integers inverted",
        '(bool(call.outputs) and call.outputs[0].dtype.startswith(("int", "uint", "bool")),)',
        '(bool(call.outputs) and not call.outputs[0].dtype.startswith(("int", "uint", "bool")),)',
    ),
    Mutation("attention waves latency", "_STEP_LATENCY_S = 300e-9", "_STEP_LATENCY_S = 300e-6"),
    Mutation("attention waves padding", "np.ceil(head_size / 64) * 64", "np.ceil(head_size / 16) * 16"),
    Mutation("passes long row flag", "passes.width > _LONGEST_WARP_ROW", "passes.width <= _LONGEST_WARP_ROW"),
    Mutation(
        "convolution layout transposes once",
        "2 * (x.bytes + weight.bytes + out.bytes)",
        "1 * (x.bytes + weight.bytes + out.bytes)",
    ),
    Mutation("plain attention is one kernel", "_MATH_KERNELS = 7", "_MATH_KERNELS = 1"),
    Mutation(
        "a last turn is none",
        "turns = walk * math.ceil(walkers / spec.sm_count)",
        "turns = walk * max(walkers // spec.sm_count, 1)",
        ("test_image_passes.py",),
    ),
    Mutation("a tall scan is a short one", ">= _TALL_DOUBLINGS", "> _TALL_DOUBLINGS", ("test_ideal_time.py",)),
    Mutation(
        "places that share no addition",
        "math.log2(additions / places)",
        "math.log2(places / additions)",
        ("test_sums_by_index.py",),
    ),
    Mutation(
        "an odd family moves the host",
        "own = weights / np.maximum(np.abs(sums - 1.0), _LEAST_ERROR) / sums",
        "own = weights / sums",
        ("test_host_model.py",),
    ),
    Mutation(
        "attention backend sizes",
        '"cudnn": half and max(sizes) <= 256',
        '"cudnn": half and max(sizes) <= 128',
    ),
    Mutation("tiles split for nothing", "_SPLIT_OVERHEAD_S = 1e-6", "_SPLIT_OVERHEAD_S = 0.0"),
    Mutation("library tiles chosen by time", "if whole.chosen_by else time_s", "if False else time_s"),
    Mutation("grouped convolution alignment", "math.log2(channels_in & -channels_in)", "math.log2(channels_in)"),
    Mutation(
        "convolution power tile",
        "_TILE = 128  # rows and columns of output",
        "_TILE = 64  # rows and columns of output",
    ),
    Mutation("attention power large head", "_BLOCK, _LARGE_HEAD_BLOCK = 64, 32", "_BLOCK, _LARGE_HEAD_BLOCK = 64, 64"),
    # Primitives alone.
    Mutation(
        "power above the cap",
        "np.clip(np.exp(log_w), self.idle_power_w, self.power_cap_w)",
        "np.maximum(np.exp(log_w), self.idle_power_w)",
    ),
    Mutation("share of the cap that slows", "_CAPPED_SHARE = 0.9\n", "_CAPPED_SHARE = 0.5\n"),
    Mutation("domain margin", "_MARGIN_LOG2 = 1.0", "_MARGIN_LOG2 = 2.0", (_GOLDEN, "test_domain.py")),
    Mutation(
        "rates without a cap",
        "return np.minimum(self.uncapped_w(table, burst_s), table.spec.power_cap_w)",
        "return self.uncapped_w(table, burst_s)",
    ),
    Mutation("as wide outside the data", "return widening(provenance, octaves) * width", "return width"),
    Mutation(
        "forms never timed as sure as others",
        "np.maximum(known * self.wider, self.least)",
        "known * self.wider",
        ("test_node_intervals.py",),
    ),
    Mutation(
        "what passes seldom have as sure",
        "np.isin(known_by, SELDOM)",
        "np.isin(known_by, ())",
        ("test_node_intervals.py",),
    ),
    Mutation("errors of one call cancel", "np.minimum(share, 1.0)", "0.0 * share", ("test_node_intervals.py",)),
    Mutation(
        "the wait as unsure as the kernel",
        "np.where(self.fallback, known, known * self.wider)",
        "width",
        ("test_node_intervals.py",),
    ),
    Mutation("depthwise kernels of torch alone", "if has_channels_last(x) or", "if False and", ("test_depthwise.py",)),
    Mutation(
        "scans share their work",
        "len(shape) - 1 or outer * columns <= 1",
        "len(shape) - 1 or True",
        ("test_ideal_time.py",),
    ),
    Mutation(
        "a batch norm reduces",
        "kind_of(call) in _POINTWISE_KINDS or",
        "kind_of(call) in _POINTWISE_KINDS and",
        ("test_kinds.py",),
    ),
    Mutation("few joules, no seconds", "if not len(few):", "if True:", ("test_site_errors.py",)),
    # Wholes.
    Mutation("idle energy between kernels", " + idle_power_w * self.chain_s", ""),
    Mutation("power goes with the square of the clock", "\nCLOCK_EXPONENT = 3.0", "\nCLOCK_EXPONENT = 2.0"),
    Mutation("a sweep's weights are hot", "+ cold_of_class", "+ 0 * cold_of_class"),
    Mutation("small weights can be cold", "cold &= weight_bytes >= MIN_WEIGHT_BYTES", "cold &= weight_bytes >= 0"),
    Mutation(
        "experts dealt equally",
        "PricedTable(table, apply_load_imbalance(alone, table, own))",
        "PricedTable(table, alone)",
    ),
    Mutation(
        "a correction without bounds",
        "_LARGEST_CORRECTION = 0.3",
        "_LARGEST_CORRECTION = 30.0",
        (_GOLDEN, "test_runtime.py"),
    ),
    # What is said of them.
    Mutation(
        "family mean is a median", "return float(means.mean())", "return float(means.median())", ("test_metrics.py",)
    ),
    Mutation(
        "largest correlation", "_LARGEST_CORRELATION = 0.9", "_LARGEST_CORRELATION = 1.0", ("test_shared_errors.py",)
    ),
    Mutation(
        "energy per new token",
        "tokens = work.new_tokens or (work.seq_len or 0)",
        "tokens = (work.seq_len or 0)",
        ("test_wording.py",),
    ),
)


def run_mutations(words: list[str]) -> int:
    """Try the mutations whose names contain one of `words` (all without any); how many survived or were not made."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy_tree(Path(folder))
        sane = _run_tests(copy, {test for m in chosen for test in m.tests})
        if sane.returncode != 0:
            print(f"The tests fail without any mutation: nothing can be said.\n{sane.stdout[-2000:]}")
            return len(chosen)
        outcomes = [_try(copy, mutation) for mutation in chosen]
    print(f"{outcomes.count('killed')} of {len(chosen)} killed")
    return len(chosen) - outcomes.count("killed")


def _try(copy: Path, mutation: Mutation) -> str:
    found = [
        path for path in sorted((copy / "irene").rglob("*.py")) if mutation.was in path.read_text(encoding="utf-8")
    ]
    if len(found) != 1 or found[0].read_text(encoding="utf-8").count(mutation.was) != 1:
        outcome, where = "NOT MADE", f"{mutation.was!r} is in {len(found)} files, or twice in one: expected once"
    else:
        path, text = found[0], found[0].read_text(encoding="utf-8")
        path.write_text(text.replace(mutation.was, mutation.instead), encoding="utf-8")
        outcome = "SURVIVED" if _run_tests(copy, set(mutation.tests)).returncode == 0 else "killed"
        path.write_text(text, encoding="utf-8")
        where = str(path.relative_to(copy))
    print(f"{outcome:9} {mutation.name} ({where})", flush=True)
    return outcome


def _run_tests(copy: Path, tests: set[str]) -> subprocess.CompletedProcess[str]:
    """What pytest says of test files of these names; raises where it could not even run them."""
    files = sorted(str(path) for test in tests for path in (copy / "tests").rglob(test))
    missing = tests - {Path(file).name for file in files}
    if missing:
        raise FileNotFoundError(f"no test file {', '.join(sorted(missing))} below tests/")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    # No bytecode: a file that is changed twice in one second and keeps its size would not be compiled again.
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    env["CI"] = "1"  # hypothesis then sets no deadline: a busy machine kills no mutation
    ran = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=_MOST_S, check=False)
    if ran.returncode not in (0, 1):
        raise RuntimeError(f"pytest answered {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran


def _copy_tree(folder: Path) -> Path:
    for path in _ROOT.iterdir():
        if path.name in _COPIED and path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name in _COPIED:
            shutil.copy(path, folder / path.name)
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path.resolve())
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of names; all mutations without any")
    sys.exit(1 if run_mutations(parser.parse_args().words) else 0)
