"""A collection on several GPUs: one process a GPU, watched by this one.

A rank that dies ends the others, and rows are kept. Ranks meet at a file, not at a port. What they exchange beside the
measured calls goes over the CPU.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import multiprocessing

from irene.dataset.journal import RowJournal, read_journal_rows
from irene.errors import BadInput, IreneError, MeterError, RankDied, in_one_line
from irene.measuring.plan import Plan
from irene.measuring.rank_collection import CHECKS, RankCollection
from irene.measuring.rank_group import open_group
from irene.measuring.rank_machine import GpuRank, RankMachine, count_gpus
from irene.measuring.rank_plan import load_rank_plan
from irene.measuring.starting import claim_output, note_start, require_same_plan

MakeMachine = Callable[[int], RankMachine]
_POLL_S, _ENDING_S = 0.2, 15.0
_FAILED, _BAD_INPUT, _NO_METER = 1, 3, 4  # how a rank leaves that has said why


def collect_on_ranks(
    plan_path: str | Path, output: str | Path, *, time_limit_s: float | None = None,
    make_machine: MakeMachine = GpuRank, available: int | None = None, quick: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Measure a plan for several GPUs into the folder `output` and return it.

    `available` GPUs are there, by default those that torch sees. Raises MeterError for fewer than the plan's smallest
    number, BadInput as `collect`, RankDied when a rank ends before its work: the others are ended, and rows are kept.
    """
    plan, directory = load_rank_plan(plan_path), Path(output)
    there = count_gpus() if available is None else available
    fitting = [ranks for ranks in plan.gpus if ranks <= there]
    if not fitting:
        raise MeterError(f"{plan.name}: its smallest number of GPUs is {min(plan.gpus)}, and {there} are here.")
    end_s = None if time_limit_s is None else time.monotonic() + time_limit_s
    with claim_output(directory):
        with RowJournal(directory) as journal:
            require_same_plan(plan.name, {case.key for case in plan.cases}, directory, journal)
        try:
            for ranks in fitting:
                _run_ranks(ranks, (str(plan_path), str(directory), end_s, make_machine, quick or {}))
        finally:
            _finish(directory)
    return directory


def _run_ranks(ranks: int, task: tuple[Any, ...]) -> None:
    """Start a process for each rank, and wait until all have ended, or one has died."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store, said = str(Path(folder, "store")), Path(folder, "said")
        workers = [
            context.Process(target=_work, args=(rank, ranks, store, str(said), *task), daemon=True)
            for rank in range(ranks)
        ]
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                if any(worker.exitcode not in (None, 0) for worker in workers):
                    break
                time.sleep(_POLL_S)
        finally:
            codes = [worker.exitcode for worker in workers]
            _end(workers)
        reason = said.read_text(encoding="utf-8") if said.exists() else ""
    _raise_for(codes, reason)


def _end(workers: list[Any]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    for worker in workers:
        worker.join(_ENDING_S)
        if worker.is_alive():
            worker.kill()
            worker.join(_ENDING_S)


def _raise_for(codes: list[int | None], reason: str) -> None:
    failed = [(rank, code) for rank, code in enumerate(codes) if code not in (None, 0)]
    if not failed:
        return
    silent = [(rank, code) for rank, code in failed if code not in (_FAILED, _BAD_INPUT, _NO_METER)]
    rank, code = (silent or failed)[0]  # one that was killed says nothing, and the others say that they lost it
    if code in (_BAD_INPUT, _NO_METER):
        raise (BadInput if code == _BAD_INPUT else MeterError)(reason)
    why = reason if reason and not silent else f"exit status {code}"
    raise RankDied(f"Rank {rank} of {len(codes)} died ({why}); the others were ended, rows are kept. Start it again.")


def _work(
    rank: int, ranks: int, store: str, said: str, plan_path: str, output: str, end_s: float | None,
    make_machine: MakeMachine, quick: dict[str, Any],
) -> None:  # fmt: skip
    """A rank's whole life; what ends it too early is said in the file `said`.

    It leaves at once, without the ends of the libraries: a thread of theirs that still runs then would abort the
    process, and a rank whose work is done would count as dead.
    """
    code = 0
    try:
        _collect_here(rank, ranks, store, Path(output), plan_path, end_s, make_machine, quick)
    except (IreneError, RuntimeError, OSError) as error:
        Path(said).write_text(str(error) if isinstance(error, IreneError) else in_one_line(error), encoding="utf-8")
        code = _FAILED
        if isinstance(error, BadInput):
            code = _BAD_INPUT
        elif isinstance(error, MeterError):
            code = _NO_METER
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _collect_here(
    rank: int, ranks: int, store: str, directory: Path, plan_path: str, end_s: float | None,
    make_machine: MakeMachine, quick: dict[str, Any],
) -> None:  # fmt: skip
    plan = load_rank_plan(plan_path)
    machine = make_machine(rank)
    group = open_group(rank, ranks, store, machine.device)
    described = group.gather(machine.describe())
    if rank:
        RankCollection(plan, machine, group, None, end_s, quick).measure()
        group.gather(None)  # nobody leaves while another still asks
        return
    with RowJournal(directory, described[0].get("power_limit_w")) as journal:
        first: Any = _Described(machine, described)
        note_start(directory, Plan(plan.name, plan.seed, (), ()), first)
        RankCollection(plan, machine, group, journal, end_s, quick).measure()
    group.gather(None)


class _Described:
    """The first rank's machine, which says of itself how many boards there are."""

    def __init__(self, machine: RankMachine, described: list[dict[str, Any]]) -> None:
        self.meter, self.device = machine.meter, machine.device
        self._described = described

    def describe(self) -> dict[str, Any]:
        cards = [each.get("card", "") for each in self._described]
        return {**self._described[0], "ranks": len(cards), "cards": cards}


def _finish(directory: Path) -> None:
    """Note the checks in the rows, write the tables and say how many rows there are."""
    from irene.dataset.kernel_checks import write_kernel_checks
    from irene.dataset.store import write_parquet

    if not any(read_journal_rows(directory)):
        return
    path = directory / CHECKS
    if path.exists():
        write_kernel_checks(directory, json.loads(path.read_text(encoding="utf-8"))["same_kernels"])
    write_parquet(directory)
    rows = list(read_journal_rows(directory))
    print(f"{len(rows)} rows of several GPUs: {directory}", file=sys.stderr)
