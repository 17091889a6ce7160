"""One model at many batch sizes and lengths: few points are traced, the others follow from them exactly.

Two points of one length *agree* if their calls are the same but for numbers, and each number is the same in both, or
goes with the batch or its square: the *law* of that length, by which all batches between the two follow
(`irene.tracing.batch_laws`). Where the smallest and the largest batch do not agree, the batch in the middle is traced,
and so on. Where two lengths have one law, those between them are taken to have it too if their largest batch fits it;
where not, the smallest batch of the length in the middle is traced, and so on.

The largest batch is traced at some lengths, the *probes*: the ends, the middle, four at random, and of every power of
two that divides a length just so, one. Where each number is one polynomial of the length at all of them, the lengths
between follow (`irene.tracing.length_laws`); where not, either half is probed, until every length is traced. Which
batches follow is probed in the same way, at the shortest and the longest length. Up to a dozen are all traced.

Batch 1 is a case of its own, since sizes of one are squeezed and broadcast. It is traced at two lengths that have one
law, and at those between them by the same means, lengths in the place of batches: all numbers of batch 1 go with the
length or its square, and so do those of the largest batch at every length between. Where a single number is not
(padding, a window, a sum), the length in the middle is traced at batch 1, and so on.

What could go wrong unseen, and what is done against it:

- a condition on the length: a limit (a sliding window) is between two probes that have no common polynomial; padding to
  a block of a power of two moves the probes that are not aligned, other blocks those that are drawn at random;
- a condition on the length at batch 1 alone: four points of batch 1 that followed, drawn at random, are traced as well;
- a condition on the batch that holds for some batches only: the same probes; where following would have been wrong at
  one, every batch is traced at the shortest and the longest length, and those that are odd at every length;
- a condition on both that, once true, stays true for larger ones (enough tokens for all experts): the corners of what
  is followed do not agree;
- a condition on both without such an order, or on single lengths or batches: eight points drawn at random are traced as
  well, the first by a model built afresh. Where one of them is not what followed, every point is traced, each by a
  model of its own;
- equal layers that do not do the same (`irene.tracing.repeats`): the smallest and the largest point, and the first of
  each outline, are traced with every layer run. Where that differs, all are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from irene.errors import BadInput
from irene.model_tree.quantization import require_dense, require_towers, text_alone, twin_note
from irene.model_tree.workload import Workload
from irene.primitives.patterns import Pattern
from irene.tracing.batch_laws import Traces, is_same, trace_at
from irene.tracing.following import Search
from irene.tracing.inputs import check_positions
from irene.tracing.named_attention import attention_notes
from irene.tracing.quantization import describe_program, describe_quantization, describe_unpriced, without_quantization
from irene.tracing.retracing import Retracer
from irene.tracing.short_traces import Outline
from irene.tracing.sources import NamedConfig
from irene.tracing.towers import towers_left_out
from irene.tracing.tracer import find_config, trace_config, with_length

_CHECKED = 8  # points that followed, drawn at random, are traced as well, the first by a model built afresh
_CHECKED_ONES = 4  # of batch 1 beside them


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """All points, batch after batch: `workloads` and `traces` are in one order.

    `traced` points were traced; `checked` of the others were traced as well, to be sure of them. `notes` say
    what was assumed.
    """

    model: str
    weight_bytes: int
    workloads: tuple[Workload, ...]
    traces: Traces
    outlines: tuple[Outline, ...]
    patterns: tuple[Pattern, ...]
    traced: int
    checked: int
    notes: tuple[str, ...]


def trace_grid(model: Any, workloads: Sequence[Workload], *, dequantized: bool = False) -> Grid:
    """The calls at every one of `workloads`, which are all combinations of some batch sizes with some lengths.

    They differ in nothing else. `model` is a transformers config, with a name or without. Lengths that make no
    difference to the inputs (of pictures) are one length. A config of quantised weights is refused, unless its dense
    twin is meant (`dequantized`). Raises BadInput and its kinds.
    """
    if not isinstance(model, NamedConfig) and not hasattr(model, "model_type"):
        raise BadInput(f"Expected a model as a name, a path or a transformers config, got {type(model).__name__}.")
    named = find_config(model)
    config, name = named.config, named.name
    quantization = describe_quantization(config) if dequantized else ""
    config = without_quantization(config) if quantization else config
    require_dense(name, describe_unpriced(config))
    program = describe_program(config)
    workloads = [with_length(config, workload) for workload in workloads]
    check_positions(config, max(workloads, key=lambda w: max(w.seq_len or 0, w.decoder_seq_len or 0)))
    retracer = Retracer(config, workloads[0])
    one_batch = [workload for workload in workloads if workload.batch_size == workloads[0].batch_size]
    asked = list(dict.fromkeys(replace(retracer.describe(workload), batch_size=1) for workload in one_batch))
    columns = sorted(asked, key=lambda column: (column.seq_len or 0, column.decoder_seq_len or 0))
    batches = list(dict.fromkeys(workload.batch_size for workload in workloads))
    search = Search(retracer, sorted(batches), columns)
    skipped = retracer.skips_layers
    found = search.follow_all()
    if skipped and not (retracer.skips_layers and search.confirms_corners()):
        retracer.run_all_layers()
        search = Search(retracer, sorted(batches), columns)
        found = search.follow_all()
    followed = sorted(set(found) - set(search.known), key=str)
    rng, ones = random.Random(0), [(batch, column) for batch, column in followed if batch == 1]
    checks = rng.sample(followed, min(_CHECKED, len(followed)))
    checks = list(dict.fromkeys([*checks, *rng.sample(ones, min(_CHECKED_ONES, len(ones)))]))
    for number, (batch, column) in enumerate(checks):
        workload = replace(columns[column], batch_size=batch)
        if number == 0:
            plain = trace_config(config, workload, name, skips_layers=False)
            calls = [leaf.call for leaf in plain.root.leaves]
            holds = calls == retracer.calls_of(trace_at(found[batch, column]))
        else:
            holds = is_same(retracer.trace(workload), trace_at(found[batch, column]))
        if not holds:
            retracer.build_afresh()
            search = Search(retracer, sorted(batches), columns)
            found, checks = search.trace_all(), []
            break
    left_out = towers_left_out(retracer.module, {node.path for node in retracer.outlines[0].flat.nodes})
    is_asked = workloads[0].images == 0
    require_towers(name, "" if is_asked else left_out)
    places = [columns.index(column) for column in asked]
    order = [(batch, column) for batch in batches for column in places]
    sizes = [_sizes(column) for column in columns]
    known = {(*_sizes(workload), workload.batch_size): workload for workload in workloads}  # mostly as it was asked
    return Grid(
        name,
        retracer.weight_bytes,
        tuple([known.get((*sizes[c], batch)) or replace(columns[c], batch_size=batch) for batch, c in order]),
        Traces(tuple(found[point] for point in order)),
        tuple(retracer.outlines),
        tuple(retracer.patterns),
        len(search.known),
        len(checks),
        ((twin_note(workloads[0].dtype, quantization),) if quantization else ())
        + ((program,) if program else ())
        + ((text_alone(left_out),) if left_out else ())
        + attention_notes(config),
    )


def _sizes(workload: Workload) -> tuple[int | None, int | None, int | None]:
    """What inputs may change of a workload."""
    return workload.seq_len, workload.decoder_seq_len, workload.images
