"""What another version of a library changes in the leaves: trace each model in two environments, compare the trees.

    python experiments/library-versions/compare.py --other PYTHON [--output FOLDER]

PYTHON is the interpreter of a second environment. The models are those of experiments/leaves-against-profiler that come
from transformers. Writes `differences.csv`, one row a model, and prints the README's table.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from irene.model_tree.serialization import load_tree, tree_to_json
from irene.model_tree.tree import ModelTree, Node
from irene.primitives.kinds import launches_kernel
from irene.primitives.work import count_work

HERE = Path(__file__).parent


def save_trees(folder: Path) -> None:
    """Trace every model in this environment, a file each; a model that is refused leaves the reason instead."""
    sys.path.insert(0, str(HERE.parent / "leaves-against-profiler"))
    from cases import CASES

    from irene.errors import IreneError

    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(case for case in CASES if case.module is None):
        try:
            text = json.dumps(tree_to_json(case.trace()))
        except IreneError as error:
            text = json.dumps({"refused": str(error), "model": case.name})
        (folder / f"{number:02}.json").write_text(text, encoding="utf-8")


def compare(before: ModelTree, after: ModelTree) -> dict[str, Any]:
    """One row: leaves that one tree has and the other not, in call order, and leaves whose operands differ."""
    leaves = [list(before.root.leaves), list(after.root.leaves)]
    names = [[leaf.type for leaf in side] for side in leaves]
    removed, added, changed = Counter[str](), Counter[str](), Counter[str]()
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(leaves[0][i:i_end], leaves[1][j:j_end], strict=True)
            changed.update(_label(a) for a, b in pairs if a.call != b.call)
        else:
            removed.update(map(_label, leaves[0][i:i_end]))
            added.update(map(_label, leaves[1][j:j_end]))
    kernels, flop, traffic_bytes = zip(*(_sum(side) for side in leaves), strict=True)
    return {
        "model": before.model, "leaves_before": len(leaves[0]), "leaves_after": len(leaves[1]),
        "removed": removed.total(), "added": added.total(), "changed": changed.total(),
        "launching_before": kernels[0], "launching_after": kernels[1],
        "flop_ratio": f"{flop[1] / flop[0]:.6f}", "traffic_ratio": f"{traffic_bytes[1] / traffic_bytes[0]:.4f}",
        "removed_operators": _list(removed), "added_operators": _list(added), "changed_operators": _list(changed),
    }  # fmt: skip


def _label(leaf: Node) -> str:
    """'mul', or 'scaled_dot_product_attention[cudnn]'."""
    assert leaf.call is not None
    return leaf.call.name + leaf.type.removeprefix(leaf.call.op)


def _sum(leaves: list[Node]) -> tuple[int, int, int]:
    """Leaves that launch something, FLOP, bytes."""
    calls = [leaf.call for leaf in leaves if leaf.call is not None]
    work = [count_work(call) for call in calls]
    return sum(map(launches_kernel, calls)), sum(w.flop for w in work), sum(w.traffic_bytes for w in work)


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts.most_common())


def tabulate(rows: list[dict[str, Any]]) -> str:
    """The README's table."""
    head = ("model", "leaves", "removed", "added", "changed", "launching", "FLOP", "bytes")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (
            row["model"], f"{row['leaves_before']:,} to {row['leaves_after']:,}", row["removed"], row["added"],
            row["changed"], f"{row['launching_before']:,} to {row['launching_after']:,}",
            f"x {float(row['flop_ratio']):.4f}", f"x {row['traffic_ratio']}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", help="the interpreter of the second environment")
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--trees", type=Path, help="only trace, in this environment, into this folder")
    arguments = parser.parse_args()
    if arguments.trees:
        save_trees(arguments.trees)
        return
    if not arguments.other:
        parser.error("--other: name the interpreter of a second environment, such as other/bin/python")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / side for side in ("before", "after")]
        environment = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "HF_HUB_OFFLINE": "1"}
        for interpreter, folder in zip((sys.executable, arguments.other), folders, strict=True):
            subprocess.run([interpreter, __file__, "--trees", str(folder)], check=True, env=environment)
        for path in sorted(folders[0].iterdir()):
            trees = []
            for folder in folders:
                data = json.loads((folder / path.name).read_text(encoding="utf-8"))
                if "refused" in data:
                    print(f"{data['model']}: refused in {folder.name}: {data['refused']}", file=sys.stderr)
                else:
                    trees.append(load_tree(folder / path.name))
            if len(trees) == 2:
                rows.append(compare(*trees))
                versions = [", ".join(f"{name} {version}" for name, version in tree.versions) for tree in trees]
    with open(arguments.output / "differences.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"before: {versions[0]}; after: {versions[1]}\n\n{tabulate(rows)}")


if __name__ == "__main__":
    main()
