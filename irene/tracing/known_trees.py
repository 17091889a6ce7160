"""A named model and a workload -> its tree: from the cache where the very same was traced before, else traced.

A question asked before needs neither torch nor transformers, whose import is most of what a prediction costs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from irene.cache_folder import cache_folder
from irene.errors import BadInput
from irene.model_tree.expert_routing import BALANCED
from irene.model_tree.serialization import tree_from_json, tree_to_json
from irene.model_tree.workload import read_dtype
from irene.sealed_entries import SealedEntries
from irene.tracing.keeping import may_keep_trees
from irene.tracing.sources import NamedConfig
from irene.tracing.surroundings import describe_surroundings

if TYPE_CHECKING:
    from irene.model_tree.tree import ModelTree
    from irene.model_tree.workload import Workload

MOST_BYTES = 128 * 2**20  # on the disk: some thousand trees


def choose_dtype(model: Any, asked: Any) -> str:
    """The dtype asked for, or the default; a module has its own, and to look for that is to import torch."""
    if isinstance(model, NamedConfig):
        return read_dtype(asked)
    from irene.tracing.precision import choose_dtype

    return choose_dtype(model, asked)


def trace_or_find(model: Any, workload: Workload, example_inputs: Any = None) -> ModelTree:
    """As `irene.tracing.tracer.trace_model`; of a config with a name, what is known is not traced again."""
    if isinstance(model, NamedConfig) and example_inputs is None:
        return trace_named(model, workload)
    from irene.tracing.tracer import trace_model

    return trace_model(model, workload, example_inputs)


def trace_named(model: NamedConfig, workload: Workload) -> ModelTree:
    """The tree of a config with a name; as `irene.tracing.tracer.trace_model`, and raises as that."""
    tree = _trace_or_read(model, replace(workload, expert_routing=BALANCED))  # the routing decides prices alone
    return replace(tree, workload=replace(tree.workload, expert_routing=workload.expert_routing))


def _trace_or_read(model: NamedConfig, workload: Workload) -> ModelTree:
    entries, key = _find_entries(), _key_of(model, workload)
    if entries is not None and key is not None:
        text = entries.read(key)
        if text is not None:
            try:
                return tree_from_json(json.loads(text), "Cached tree")
            except (BadInput, ValueError):  # it was sealed by another irene: trace again
                pass
    from irene.tracing.tracer import trace_model

    tree = trace_model(model, workload)
    if entries is not None and key is not None:
        entries.write(key, json.dumps(tree_to_json(tree), separators=(",", ":")))
    return tree


def _find_entries() -> SealedEntries | None:
    folder = cache_folder() if may_keep_trees() else None
    return None if folder is None else SealedEntries(folder / "trees", MOST_BYTES)


def _key_of(model: NamedConfig, workload: Workload) -> str | None:
    """Everything that decides the tree; None for a config of unknown content."""
    if model.content is None:
        return None
    parts: dict[str, Any] = {
        "model": model.name, "content": model.content, "workload": asdict(workload),
        "surroundings": describe_surroundings(),
    }  # fmt: skip
    return json.dumps(parts, sort_keys=True)
