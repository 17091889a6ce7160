"""One model traced at many points: built once, layers that repeat run once, calls told apart by pattern and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from irene.arrays import BoolArray
from irene.errors import IreneError, Untraceable
from irene.model_tree.graph import flatten
from irene.model_tree.tree import Node
from irene.model_tree.workload import Workload
from irene.primitives.call import Call
from irene.primitives.kinds import MAY_DO_NOTHING, launches_kernel
from irene.primitives.patterns import Numbers, Pattern, builder_of, split_call
from irene.primitives.stacks import CallStack, Form, numbers_of
from irene.tracing.batch_laws import Law
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs, parameters_of, torch_dtype
from irene.tracing.module_index import list_modules, list_tensors
from irene.tracing.module_state import ModuleState
from irene.tracing.recording import record_with_notes
from irene.tracing.repeats import Repeats
from irene.tracing.short_traces import Outline, ShortTrace
from irene.tracing.storages import count_stored_bytes
from irene.tracing.towers import add_images
from irene.tracing.tracer import describe_inputs
from irene.tracing.twins import find_twins

_MOST_SPLIT = 1_000


class Retracer:
    """Traces of one config at many workloads. `outlines` and `patterns` are those seen so far, by number."""

    def __init__(self, config: Any, workload: Workload) -> None:
        self._build = partial(build_model, config, workload.task, torch_dtype(workload.dtype), "meta", workload.gpus)
        self._builds_afresh = False
        self._constants = False  # whether constants have to be watched
        self.module = self._build()
        self.outlines: list[Outline] = []
        self.patterns: list[Pattern] = []
        self._takes = parameters_of(self.module)
        self._state = ModuleState(self.module, self.module.config)
        self._twins = find_twins(self.module)
        self._outline_of: dict[Any, int] = {}
        self._pattern_of: dict[Pattern, int] = {}
        self._split: dict[Call, tuple[int, Numbers]] = {}
        self._builders: list[Callable[[Sequence[int]], Call]] = []
        self._plainly: set[Workload] = set()  # points of which a plain trace makes the same calls

    @property
    def weight_bytes(self) -> int:
        """Of the distinct parameters and buffers."""
        return count_stored_bytes(list_tensors(part for _, part in list_modules(self.module)))

    def describe(self, workload: Workload) -> Workload:
        """The workload as the inputs really are: no length for pictures."""
        return describe_inputs(workload, self._inputs(workload))

    def trace(self, workload: Workload) -> ShortTrace:
        """The calls at one point. Raises BadInput and its kinds."""
        repeats = Repeats(self._twins)
        try:
            root = self._record(workload, repeats)
        except IreneError:
            root = None
        if root is None:  # outside the handler: an error of the plain trace is the user's, with no other before it
            repeats = Repeats(replace(self._twins, layers=()))
            root = self._record(workload, repeats)
        leaves, places, key = _read_short(root, repeats, self._number_of)
        launches = tuple([launches_kernel(call) for call in leaves if call.op in MAY_DO_NOTHING])
        key = (key, launches)
        outline = self._outline_of.get(key)
        if outline is None:
            flat = flatten(self._record(workload, None)) if repeats.of else flatten(root)
            place_of_leaf = np.array(places, dtype=np.int64)
            if [flat.nodes[i].call for i in flat.leaf_index] != [leaves[place] for place in places]:
                self.run_all_layers()
                return self.trace(workload)
            self._plainly.add(workload)
            outline = self._outline_of[key] = len(self.outlines)
            self.outlines.append(Outline(flat, place_of_leaf, launches))
        calls = list(dict.fromkeys(leaves))
        index = {call: i for i, call in enumerate(calls)}
        split = [self._split_call(call) for call in calls]
        patterns, numbers = zip(*split, strict=True) if split else ((), ())
        return ShortTrace(outline, tuple(patterns), tuple(numbers), tuple([index[call] for call in leaves]))

    def confirms(self, trace: ShortTrace, workload: Workload) -> bool:
        """Whether a plain trace, of all layers, makes the very same calls."""
        if workload in self._plainly:
            return True
        root = self._record(workload, None)
        return [leaf.call for leaf in root.leaves] == self.calls_of(trace)

    @property
    def skips_layers(self) -> bool:
        """Whether layers that repeat are not run."""
        return bool(self._twins.layers)

    def run_all_layers(self) -> None:
        """From now on without short cuts: equal layers of this model do not always make equal calls."""
        self._twins = replace(self._twins, layers=())

    def build_afresh(self) -> None:
        """From now on a new model for each trace, without short cuts, as a single prediction does it."""
        self.run_all_layers()
        self._builds_afresh = True

    def build_call(self, pattern: int, numbers: Numbers) -> Call:
        while len(self._builders) < len(self.patterns):
            self._builders.append(builder_of(self.patterns[len(self._builders)]))
        return self._builders[pattern](numbers)

    def launches_of(self, trace: ShortTrace) -> tuple[bool, ...]:
        """Of the calls that may do nothing, in order, which ones launch a kernel."""
        doubtful = {i for i, pattern in enumerate(trace.patterns) if self.patterns[pattern].op in MAY_DO_NOTHING}
        launch = {i: launches_kernel(self.build_call(trace.patterns[i], trace.numbers[i])) for i in doubtful}
        return tuple([launch[i] for i in trace.call_of_place if i in doubtful])

    def agree_with(self, law: Law, sizes: Sequence[int]) -> list[bool]:
        """At which sizes calls of a law that may do nothing launch a kernel just where its outline says so."""
        doubtful = [call for call in law.call_of_place if self.patterns[law.patterns[call]].op in MAY_DO_NOTHING]
        agree = np.ones(len(sizes), dtype=np.bool_)
        launch: dict[int, BoolArray] = {}
        for call in set(doubtful):
            form = Form(self.patterns[law.patterns[call]], np.arange(len(sizes)), law.numbers_at(call, sizes))
            (launch[call],) = numbers_of(lambda one: (launches_kernel(one),), CallStack((form,)), 1, np.bool_)
        for call, launches in zip(doubtful, self.outlines[law.outline].launches, strict=True):
            agree &= launch[call] == launches
        return agree.tolist()

    def calls_of(self, trace: ShortTrace) -> list[Call]:
        """The calls of all leaves of a point, in order."""
        calls = [self.build_call(p, n) for p, n in zip(trace.patterns, trace.numbers, strict=True)]
        return [calls[trace.call_of_place[place]] for place in self.outlines[trace.outline].place_of_leaf]

    def _inputs(self, workload: Workload) -> dict[str, torch.Tensor]:
        meta = torch.device("meta")
        inputs = build_inputs(self.module.config, self.module.main_input_name, workload, meta, takes=self._takes)
        return add_images(self.module, inputs, workload)

    def _record(self, workload: Workload, repeats: Repeats | None) -> Node:
        if not self._constants:
            try:
                return self._record_once(workload, repeats)
            except Untraceable:
                self._constants = True
        return self._record_once(workload, repeats)

    def _record_once(self, workload: Workload, repeats: Repeats | None) -> Node:
        if self._builds_afresh:
            self.module, repeats = self._build(), None
        try:
            return record_with_notes(self.module, (), self._inputs(workload), repeats, self._constants).root
        finally:
            self._state.restore()

    def _number_of(self, call: Call) -> int:
        return self._split_call(call)[0]

    def _split_call(self, call: Call) -> tuple[int, Numbers]:
        found = self._split.get(call)
        if found is None:
            pattern, numbers = split_call(call)
            number = self._pattern_of.setdefault(pattern, len(self.patterns))
            if number == len(self.patterns):
                self.patterns.append(pattern)
            if len(self._split) >= _MOST_SPLIT:  # points share few calls; those of one point are asked for again
                self._split.clear()
            found = self._split[call] = number, numbers
        return found


def _read_short(root: Node, repeats: Repeats, number_of: Callable[[Call], int]) -> tuple[list[Call], list[int], Any]:
    """Of a short trace: the calls of its leaves; for each leaf of the whole tree its place among them; the outline."""
    leaves: list[Call] = []
    key: list[Any] = []
    places_of: dict[tuple[str, int], list[int]] = {}

    def read(node: Node) -> list[int]:
        if node.call is not None:
            leaves.append(node.call)
            key.append((number_of(node.call), node.weight_ids))
            return [len(leaves) - 1]
        own = (node.path, node.call_index)
        repeated = repeats.of.get(own)
        key.append((node.path, node.call_index, node.type, repeated, len(node.children)))
        if repeated is not None:
            places = places_of[repeated]
        else:
            places = [place for child in node.children for place in read(child)]  # noqa: F821  # deleted below
        places_of[own] = places
        return places

    places = read(root)
    del read  # it holds itself, and all that it read with it, until a collection; a sweep makes none
    return leaves, places, tuple(key)
