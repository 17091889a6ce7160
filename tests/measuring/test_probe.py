"""The probe: what a torch does not run becomes skips with reasons, and what ends a process ends no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from irene.dataset.journal import read_journal_skips
from irene.measuring.plan import Plan, PrimitiveCase
from irene.measuring.probe import Outcomes, choose_tries, probe, try_in_child, why_not
from irene.measuring.random_shapes import dense
from irene.primitives.call import Call


def case(op: str, *sizes: int, dtype: str = "float32") -> PrimitiveCase:
    x = dense(sizes, dtype)
    return PrimitiveCase(Call(op, (x,), (), (x,)), "hot", "grid", False, dtype)


def plan(*cases: PrimitiveCase) -> Plan:
    return Plan("probed", 0, cases, ())


def skips(folder: Path) -> dict[str, str]:
    return {skip["case"]: skip["reason"] for skip in read_journal_skips(folder)}


def test_torch_is_asked_in_another_process(tmp_path: Path) -> None:
    """Independent: a CPU runs gelu, and takes no inverse of what is not square."""
    gelu, inverse = case("aten.gelu.default", 8), case("aten.linalg_inv.default", 2, 3)
    outcomes = dict(zip((gelu.key, inverse.key), try_in_child([gelu, inverse]), strict=True))
    lines = probe(plan(gelu, inverse), tmp_path, lambda cases: [outcomes[case.key] for case in cases])
    assert lines[0].endswith("1 cases: runs") and "square" in lines[1]
    assert list(skips(tmp_path)) == [inverse.key] and "square" in skips(tmp_path)[inverse.key]


def test_a_pattern_that_ends_its_process_is_skipped_whole_and_alone(tmp_path: Path) -> None:
    fatal, fine = [case("aten.relu.default", size) for size in (1, 2, 3, 4, 5)], case("aten.gelu.default", 8)

    def child(cases: Sequence[PrimitiveCase]) -> Outcomes:
        return [None] if cases[0].call.name == "relu" else [None] * len(cases)

    probe(plan(*fatal, fine), tmp_path, child)
    found = skips(tmp_path)
    assert list(found) == [c.key for c in fatal]
    assert all(reason.startswith("probe: ended the process that tried it") for reason in found.values())


def test_a_size_that_is_refused_does_not_speak_for_the_others() -> None:
    tries = choose_tries([case("aten.relu.default", size) for size in (5, 4, 3, 2, 1)])
    assert [c.call.tensors[0].shape for c in tries] == [(1,), (3,), (5,)]
    assert why_not(tries, ["too small", None, None]) is None
    assert why_not(tries, ["a", "b", "c"]) == "a"
    assert why_not(tries, [None, None]) is not None


def test_dtypes_are_patterns_of_their_own(tmp_path: Path) -> None:
    lines = probe(plan(case("aten.relu.default", 8), case("aten.relu.default", 8, dtype="bfloat16")), tmp_path,
                  lambda cases: [None] * len(cases))  # fmt: skip
    assert len(lines) == 2 and not skips(tmp_path)
