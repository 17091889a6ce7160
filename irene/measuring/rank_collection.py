"""One rank's part in a collection on several GPUs: every rank does the same visits, the first one writes the rows."""

from __future__ import annotations

import gc
import json
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from irene.dataset.families import family_of
from irene.dataset.journal import RowJournal
from irene.dataset.schema import Row
from irene.errors import NoMeasurement
from irene.files import write_whole
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.progress import Progress
from irene.measuring.rank_cases import as_eager, build_share, prepare_exchange, prepare_share
from irene.measuring.rank_group import RankFailed, RankGroup
from irene.measuring.rank_leaves import differences, profiled_ops, traced_ops
from irene.measuring.rank_machine import RankMachine
from irene.measuring.rank_plan import REFERENCE_BYTES, RankCase, RankPlan, reference_case
from irene.measuring.rank_window import measure_rank_window
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.schedule import needs_repeat
from irene.measuring.targets import BuiltModel, Target, set_precision
from irene.measuring.window import WindowMeasurement

CHECKS = "rank-checks.json"
_CLOSING_S = 30.0


class RankCollection:
    """`journal` is the first rank's alone; `quick` are settings of windows and of the reference, for tests."""

    def __init__(
        self, plan: RankPlan, machine: RankMachine, group: RankGroup, journal: RowJournal | None, end_s: float | None,
        quick: dict[str, Any],
    ) -> None:  # fmt: skip
        self.plan, self.machine, self.group, self.end_s = plan, machine, group, end_s
        self.quick = {key: value for key, value in quick.items() if key != "reference_bytes"}
        self.reference = reference_case(group.size, quick.get("reference_bytes", REFERENCE_BYTES))
        self.journal = journal
        self.progress = None if journal is None else Progress(journal)
        self.done = set() if journal is None else journal.finished()
        self.skipped = {} if journal is None else journal.skipped()
        self.busy_pct: dict[str, float | None] = {}
        self.checks: dict[str, Any] = {"leaves": {}, "same_kernels": {}, "kernels": {}}

    def measure(self) -> None:
        """Reference, all visits as long as there is time, reference."""
        self._reference("start")
        for repeat, cases in self.plan.visits(self.group.size):
            chosen = self.group.agree([case.key for case in cases if self._is_pending(case, repeat)])
            wanted = [case for case in cases if case.key in set(chosen)]
            if not wanted:
                continue
            if self._is_late() or not self._visit(wanted, repeat):
                break
        self._reference("load")

    def _is_pending(self, case: RankCase, repeat: int) -> bool:
        """The first rank's answer counts: it alone knows the rows."""
        if case.key in self.skipped or (case.key, repeat, "window") in self.done:
            return False
        return repeat == 0 or needs_repeat(case.key, case.execution, self.busy_pct.get(case.key))

    def _is_late(self) -> bool:
        return self.group.agree(self.end_s is not None and time.monotonic() > self.end_s - _CLOSING_S)

    def _visit(self, cases: list[RankCase], repeat: int) -> bool:
        built: BuiltModel | None = None
        try:
            for case in cases:
                if self._is_late():
                    return False
                try:
                    if isinstance(case.case, PrimitiveCase):
                        self._keep(self._measure_exchange(case, repeat))
                        continue
                    if built is None:
                        built = self._build(case.case)
                    self._keep(self._measure_model(built, case, repeat))
                except (RankFailed, NoMeasurement) as error:
                    self._skip(case, str(error))
        finally:
            del built
            gc.collect()
            self.machine.release()
        return True

    # -- one case -------------------------------------------------------------------------------------------------

    def _reference(self, moment: str) -> None:
        case = self.reference
        key = f"reference|{case.key}"
        repeat = self.group.agree(sum(1 for done, _, _ in self.done if done == key))
        row = replace(self._measure_exchange(case, repeat), case=key, families="reference", reference=True)
        self._keep(replace(row, reference_moment=moment))

    def _measure_exchange(self, case: RankCase, repeat: int) -> Row:
        assert isinstance(case.case, PrimitiveCase)
        primitive = case.case
        set_precision(primitive.dtype)
        seed = self.plan.seed
        replay = self.group.together(
            lambda: prepare_exchange(primitive, case.execution, self.machine, self.group, seed)
        )
        measured = self._window(replay.run, replay.calls)
        row = primitive_row(primitive, measured, replay, repeat, self.plan.name)
        return replace(row, case=case.key, execution=case.execution, ranks=self.group.size)

    def _build(self, case: ModelCase) -> BuiltModel:
        set_precision(case.workload.dtype)
        return self.group.together(lambda: build_share(case, self.machine, self.group, self.plan.seed))

    def _measure_model(self, built: BuiltModel, case: RankCase, repeat: int) -> Row:
        model = case.case
        assert isinstance(model, ModelCase)
        target = self.group.together(lambda: prepare_share(built, model, self.machine, self.plan.seed))
        is_eager = case.execution == "eager"
        memory = self.group.gather(self.machine.measure_memory(target.run) if is_eager else None)
        measured = self._window(target.run)
        largest = max((part for part in memory if part), key=lambda part: part.peak_bytes, default=None)
        row = model_row(
            model, built, target, measured, largest, repeat=repeat, collection=self.plan.name,
            family=family_of(built.config.model_type),
        )  # fmt: skip
        if repeat == 0:
            with suppress(RankFailed):  # a profiler that fails must not cost the row
                self._check(built, case, target)
        return replace(row, case=case.key, ranks=self.group.size)

    def _window(self, run: Any, calls: int = 1) -> WindowMeasurement:
        with torch.inference_mode():
            return measure_rank_window(
                run, self.machine.synchronize, self.machine.meter, self.group, calls_per_call=calls,
                seed=self.plan.seed, **self.quick,
            )  # fmt: skip

    def _check(self, built: BuiltModel, case: RankCase, target: Target) -> None:
        """Do the leaves equal what the profiler records here, and does a captured case run the kernels of eager?"""
        model = case.case
        assert isinstance(model, ModelCase)
        together, gather = self.group.together, self.group.gather
        counts = gather(together(lambda: self.machine.count_kernels(target.run)))
        self.checks["kernels"][case.key] = counts
        eager = together(lambda: prepare_share(built, as_eager(model), self.machine, self.plan.seed))
        if case.execution == "eager":
            seen = together(lambda: profiled_ops(eager.run, self.machine.device))
            self.checks["leaves"][case.key] = gather(differences(traced_ops(target.tree), seen)[:40])
        else:
            as_run = gather(together(lambda: self.machine.count_kernels(eager.run)))
            self.checks["same_kernels"][case.key] = as_run == counts
        self._write_checks()  # before its row: one that is kept has been checked

    # -- the first rank's book ------------------------------------------------------------------------------------

    def _keep(self, row: Row) -> None:
        self.busy_pct[row.case] = row.gpu_utilization_pct
        self.done.add((row.case, row.repeat, row.method))
        if self.progress is not None:
            self.progress.append(row)

    def _skip(self, case: RankCase, reason: str) -> None:
        self.skipped[case.key] = reason
        if self.progress is not None:
            self.progress.skip(case.key, reason)
            print(f"skipped {case.key[:90]}: {reason}", file=sys.stderr)

    def _write_checks(self) -> None:
        """What was checked, beside what earlier starts checked."""
        if self.journal is None:
            return
        path = self.journal.directory / CHECKS
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        merged = {name: {**known.get(name, {}), **found} for name, found in self.checks.items()}
        write_whole(path, json.dumps(merged, indent=1, sort_keys=True) + "\n")
