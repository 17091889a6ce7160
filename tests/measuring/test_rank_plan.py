from pathlib import Path

import pytest

from irene.errors import BadInput
from irene.measuring.plan import load_plan
from irene.measuring.rank_plan import is_rank_plan, load_rank_plan

PLANS = [path for path in (Path(__file__).parents[2] / "data" / "plans").glob("*.toml") if is_rank_plan(path)]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_for_several_gpus_load_and_are_no_plans_for_one(path: Path) -> None:
    plan = load_rank_plan(path)
    assert plan.cases and len({case.key for case in plan.cases}) == len(plan.cases)
    with pytest.raises(BadInput, match="several GPUs"):
        load_plan(path)
    visits = plan.visits(2)
    assert {case for repeat, cases in visits if repeat == 0 for case in cases} == {
        c for c in plan.cases if c.ranks == 2
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpus = [1]", "from 2"),
        ("gpus = 2", "a list"),
        ('gpus = [2]\n[[collectives]]\nnames = ["all_sum"]\ndtypes = []\nexecutions = []\nbytes = []', "all_reduce"),
        ("gpus = [2]\n[[collectives]]\nnames = []", "a key 'dtypes'"),
    ],
)
def test_what_a_plan_must_not_say(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(BadInput, match=words):
        load_rank_plan(tmp_path / "plan.toml")
