"""What a collection has done so far: read from its journal at the start, and kept up with every row."""

from __future__ import annotations

from irene.dataset.journal import RowJournal, read_journal_rows
from irene.dataset.schema import Row
from irene.measuring.plan import GenerationCase, ModelCase, Plan, PrimitiveCase
from irene.measuring.schedule import needs_repeat


class Progress:
    """Which cases have rows, which are skipped, and which captures were compared with eager.

    `reference_counts` says by a reference's key how many rows it has.
    """

    def __init__(self, journal: RowJournal) -> None:
        self.reference_counts: dict[str, int] = {}
        self._journal = journal
        self._finished = set(journal.finished())
        self._skipped = set(journal.skipped())
        self._utilization_pct: dict[str, float | None] = {}
        self._checked: set[str] = set()
        for row in read_journal_rows(journal.directory):
            if row.get("kernels_as_eager") is not None:
                self._checked.add(row["case"])
            self._utilization_pct[row["case"]] = row.get("gpu_utilization_pct")
            if row.get("reference"):
                self._count_reference(row["case"])

    def append(self, row: Row) -> None:
        """Write a row of a case of the plan."""
        self._journal.append(row)
        self._finished.add((row.case, row.repeat, row.method))
        if row.gpu_utilization_pct is not None:
            self._utilization_pct[row.case] = row.gpu_utilization_pct

    def append_reference(self, row: Row) -> None:
        """Write a row of a reference call."""
        self._journal.append(row)
        self._count_reference(row.case)

    def skip(self, key: str, reason: str) -> None:
        """Note why a case was not measured, or its rows do not count: it is not tried again."""
        self._skipped.add(key)
        self._journal.append_skip(key, reason)

    def is_pending(self, case: ModelCase | GenerationCase, repeat: int) -> bool:
        """Whether a case of a model still wants its window of this repeat."""
        if (case.key, repeat, "window") in self._finished or case.key in self._skipped:
            return False
        return repeat == 0 or needs_repeat(case.key, case.workload.execution, self._utilization_pct.get(case.key))

    def missing_methods(self, case: PrimitiveCase, repeat: int) -> set[str]:
        """What is still to be measured of a primitive in this repeat: 'events' (time alone), 'window'."""
        if case.key in self._skipped:
            return set()
        wanted = {"events"} if repeat == 0 else set()
        if case.energy:
            wanted.add("window")
        return {method for method in wanted if (case.key, repeat, method) not in self._finished}

    def unchecked_captures(self, plan: Plan) -> list[ModelCase | GenerationCase]:
        """Captured cases that have rows and that nobody has compared with eager."""
        captured = [case for case in plan.models if case.workload.execution == "cuda_graph"]
        return [c for c in captured if c.key not in self._checked and (c.key, 0, "window") in self._finished]

    def _count_reference(self, key: str) -> None:
        self.reference_counts[key] = self.reference_counts.get(key, 0) + 1
