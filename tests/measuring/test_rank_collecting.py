import json
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from irene.dataset.journal import read_journal_rows
from irene.dataset.store import load_rows, of_several_gpus
from irene.errors import BadInput, MeterError, RankDied
from irene.measuring import rank_collecting
from irene.measuring.rank_collecting import collect_on_ranks
from irene.measuring.rank_plan import is_rank_plan, load_rank_plan
from irene.model_tree.serialization import decompress_tree
from tests.measuring.fake_ranks import QUICK, DyingRank, FakeRank
from tests.tracing.tiny_models import tiny_config

pytestmark = pytest.mark.timeout(900)  # a start imports torch and transformers
ARCHITECTURES = ("llama", "bert", "mixtral", "gpt2")


@pytest.fixture(scope="module", autouse=True)
def _ranks_are_forks() -> Iterator[None]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.measuring.preloaded_ranks"])
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # that of the process that imports
        patches.setattr(rank_collecting.multiprocessing, "get_context", lambda kind: context)
        yield


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    text = 'name = "pair"\nseed = 3\ngpus = [2, 64]\n[[collectives]]\nnames = ["all_reduce", "all_gather"]\n'
    text += 'dtypes = ["float32"]\nexecutions = ["cuda_graph", "eager"]\nbytes = [1024]\n'
    for name in ARCHITECTURES:
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(tiny_config(name, vocab_size=100).to_dict()))
        text += f'[[models]]\nmodel = "{folder / name}"\ndtypes = ["float32"]\nexecutions = ["eager", "cuda_graph"]\n'
        text += "workloads = [[2, 8]]\n"
    (folder / "pair.toml").write_text(text)
    return folder / "pair.toml"


@pytest.fixture(scope="module")
def died(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """The folder of a collection of which a rank died, what was said, and how many rows were kept."""
    out = tmp_path_factory.mktemp("rows") / "pair"
    with pytest.raises(RankDied) as said:
        collect_on_ranks(plan, out, make_machine=DyingRank, available=2, quick=QUICK)
    assert (out / "rows.parquet").exists()
    return out, str(said.value), len(load_rows(out))


@pytest.fixture(scope="module")
def collected(plan: Path, died: tuple[Path, str, int]) -> Path:
    """The same collection, started again."""
    return collect_on_ranks(plan, died[0], make_machine=FakeRank, available=2, quick=QUICK)


def test_a_plan_says_how_many_gpus(plan: Path) -> None:
    assert is_rank_plan(plan)
    loaded = load_rank_plan(plan)
    assert loaded.gpus == (2, 64) and len(loaded.cases) == 2 * (4 + 2 * len(ARCHITECTURES))
    assert len({case.key for case in loaded.cases}) == len(loaded.cases)
    assert all(str(case.ranks) in case.key for case in loaded.cases)


def test_every_case_has_a_row_that_sums_the_boards(plan: Path, collected: Path) -> None:
    rows = load_rows(collected)
    assert of_several_gpus(rows).all() and set(rows["ranks"]) == {2}
    own = rows[~rows["reference"].astype(bool)]
    assert set(own["case"]) == {case.key for case in load_rank_plan(plan).cases if case.ranks == 2}
    assert (rows["power_w"] - 400).abs().median() < 60  # two boards of 200 W
    assert rows["reference"].sum() >= 2
    manifest = json.loads((collected / "manifest.json").read_text())
    assert manifest["runs"][0]["ranks"] == 2


def test_leaves_of_four_models_are_what_a_rank_runs(collected: Path) -> None:
    """The profiler's operators on each of two real processes, against the trace of one rank."""
    checks = json.loads((collected / "rank-checks.json").read_text())
    assert len(checks["leaves"]) == len(ARCHITECTURES)
    assert all(each == [[], []] for each in checks["leaves"].values()), checks["leaves"]
    assert all(checks["same_kernels"].values()) and len(checks["kernels"]) == 2 * len(ARCHITECTURES)


def test_rows_carry_the_tree_of_one_rank(collected: Path) -> None:
    rows = load_rows(collected)
    models = rows[rows["level"] == "model"]
    assert len(set(models["model"])) == len(ARCHITECTURES)
    for text in models["tree"]:
        tree = decompress_tree(text)
        assert tree.workload.gpus == 2
        assert any("collective.all_reduce_" in leaf.type for leaf in tree.root.leaves)


def test_a_rank_that_dies_ends_the_others_and_rows_are_kept(died: tuple[Path, str, int], collected: Path) -> None:
    _, said, kept = died
    assert "Rank 1 of 2 died" in said and "\n" not in said and kept >= 1
    keys = [(row["case"], row["repeat"]) for row in read_journal_rows(collected)]
    assert len(keys) == len(set(keys)) > kept  # what was measured is not measured twice


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([1, 9], "Rank 1 of 2 died (exit status 9)"),  # and the first one lost it, and left before it was ended
        ([None, -9], "Rank 1 of 2 died (exit status -9)"),
        ([0, 1], "Rank 1 of 2 died (Connection closed)"),
    ],
)
def test_the_rank_that_died_is_named_and_not_one_that_lost_it(codes: list[int | None], said: str) -> None:
    with pytest.raises(RankDied, match=re.escape(said)):
        rank_collecting._raise_for(codes, "" if codes[0] is None else "Connection closed")


def test_too_few_gpus_and_another_plan_are_refused(plan: Path, collected: Path, tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="smallest number of GPUs is 2, and 1 are here"):
        collect_on_ranks(plan, tmp_path / "out", make_machine=FakeRank, available=1)
    other = plan.with_name("other.toml")
    other.write_text(plan.read_text().replace('"pair"', '"other"'))
    with pytest.raises(BadInput, match="another plan"):
        collect_on_ranks(other, collected, make_machine=FakeRank, available=2)
