"""Read and write files of IrEne-2021 trees, plain or gzip, without losing anything that stands in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irene.errors import BadDataset
from irene.files import inflate, read_bytes, write_whole
from irene.irene_2021.checks import NODE_FEATURES, check_tree
from irene.quoting import quote


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTree:
    """One line of a file: `record` is its JSON object as read, `source` says where it stood."""

    record: dict[str, Any]
    source: str = "tree"

    @property
    def model_name(self) -> str:
        return str(self.record["model_name"])

    @property
    def root(self) -> dict[str, Any]:
        root: dict[str, Any] = self.record["frontend_tree"]
        return root

    def walk(self) -> Iterator[dict[str, Any]]:
        """Every node, a parent before its children, siblings in the order of the file."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node["child_nodes_obj"])


def load_trees(
    path: str | Path, features: Collection[str] = NODE_FEATURES, measured: bool = True
) -> tuple[MeasuredTree, ...]:
    """All trees of a file of JSON lines; gzip is known by its first bytes, empty lines are skipped.

    Every node must have all `features` and, where `measured`, a positive `ground_truth_energy`. Raises `BadDataset`
    naming file, line and node for anything malformed, and for an id that two nodes share.
    """
    path = Path(path)
    trees: list[MeasuredTree] = []
    places: dict[str, str] = {}
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            continue
        source = f"{path.name}, line {number}"
        try:
            record = json.loads(line)  # NaN too: the check below names the node that has it
        except (ValueError, RecursionError) as error:
            raise BadDataset(f"{source}: not a JSON object: {error}.") from None
        check_tree(record, source, features, measured)
        tree = MeasuredTree(record, source)
        for node in tree.walk():
            place = f"{source}, node {node['scope']!r}"
            if node["id"] in places:
                raise BadDataset(f"{place}: its id {node['id']!r} is already that of {places[node['id']]}.")
            places[node["id"]] = place
        trees.append(tree)
    if not trees:
        raise BadDataset(f"{path.name} holds no tree; expected one JSON object a line.")
    return tuple(trees)


def save_trees(trees: Iterable[MeasuredTree], path: str | Path) -> None:
    """Write one line a tree, gzip if the name ends in '.gz'. The file appears whole or not at all.

    Raises `BadInput` where nothing can be written, `BadDataset` for NaN and infinity: they are not JSON.
    """
    path = Path(path)
    lines = []
    for tree in trees:
        try:
            lines.append(json.dumps(tree.record, allow_nan=False) + "\n")
        except ValueError as error:
            raise BadDataset(f"{tree.source} cannot be written as JSON: {error}.") from None
    data = "".join(lines).encode("utf-8")
    # Without a time in it, the same trees give the same bytes.
    write_whole(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def with_predictions(trees: Sequence[MeasuredTree], energy_j: Sequence[float]) -> tuple[MeasuredTree, ...]:
    """New trees with `predicted_energy` in every node; `energy_j` is in the order of `walk`, tree after tree."""
    nodes = sum(1 for tree in trees for _ in tree.walk())
    if len(energy_j) != nodes:
        raise ValueError(f"expected {nodes} predictions, one a node, got {len(energy_j)}")
    values = iter(energy_j)
    filled = []
    for tree in trees:
        root = _fill(tree.root, values)
        filled.append(MeasuredTree({**tree.record, "frontend_tree": root}, tree.source))
    return tuple(filled)


def _fill(node: dict[str, Any], values: Iterator[float]) -> dict[str, Any]:
    own = float(next(values))
    children = [_fill(child, values) for child in node["child_nodes_obj"]]
    return {**node, "predicted_energy": own, "child_nodes_obj": children}


def _read_lines(path: Path) -> list[str]:
    if not path.exists():
        raise BadDataset(f"No file {quote(str(path))}; expected IrEne-2021 trees, one JSON object a line.")
    data = read_bytes(path, "file of trees", BadDataset)
    if data[:2] == b"\x1f\x8b":
        data = inflate(data, str(path), BadDataset, gzip=True)
    try:
        # Not splitlines(): a name may hold one of the rarer line ends that it splits at.
        return data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadDataset(f"Cannot read {quote(str(path))}: {error}.") from None
