"""A small tree made by hand, and a prediction beside it, for tests that need no torch; and predictors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch: workers share the processors, and spinning threads slow both

import numpy as np
import pytest

from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.predictor.node_values import NodeValues
from irene.predictor.prediction import Prediction, PredictorInfo
from irene.primitives.call import Call, TensorSpec

if TYPE_CHECKING:
    import pandas as pd

    from irene.predictor.predictor import Predictor

X = TensorSpec((2, 4), (4, 1), "bfloat16")
W = TensorSpec((4, 4), (4, 1), "bfloat16", weight=True)
LINEAR = Call("aten.linear.default", (X, W), (), (X,))
VIEW = Call("aten.view.default", (X, (8,)), (), (TensorSpec((8,), (1,), "bfloat16"),), is_view=True)
SCALE = Call("aten.mul.Tensor", (X, 2.0), (("out", None),), (X,))


def leaf(path: str, call: Call, index: int = 0, weights: tuple[int, ...] = ()) -> Node:
    return Node("primitive", path, call.op, (), call, index, 0, weights)


def layer(path: str, weight: int, call_index: int = 0) -> Node:
    inner = f"{path}.dense"
    dense = Node("module", inner, "Linear", (leaf(inner, LINEAR, 0, (weight,)),), None, call_index, 16)
    return Node("module", path, "Layer", (dense, leaf(path, VIEW), leaf(path, SCALE)), None, call_index, 16)


@pytest.fixture(autouse=True)
def _products_as_they_were() -> Iterator[None]:
    """What measures sets TF32 for its process; the next test in this one must not find it so."""
    yield
    if (torch := sys.modules.get("torch")) is not None and torch.backends.cuda.matmul.allow_tf32:
        torch.backends.cuda.matmul.allow_tf32 = False


@pytest.fixture
def tree() -> ModelTree:
    """Two equal layers; one module called three times; one that calls nothing; two `linear`s of the root itself."""
    shared = tuple(layer("shared", 2, i) for i in range(3))
    empty = Node("module", "dropout", "Dropout")
    own = (leaf("", LINEAR, 0, (3,)), leaf("", LINEAR, 1, (3,)))
    root = Node("model", "", "Tiny", (layer("layers.0", 0), layer("layers.1", 1), *shared, empty, *own), None, 0, 64)
    return ModelTree(root, "tiny", Workload(batch_size=2, seq_len=4), (("torch", "2.13.0"),), ("by hand",))


@pytest.fixture
def prediction(tree: ModelTree) -> Prediction:
    """Leaf `i` in call order costs `i + 1` J (a view nothing), half of it for compute, and as many ms."""
    flat = flatten(tree)
    leaves = [flat.nodes[i] for i in flat.leaf_index]
    joules = flat.sum_up(np.array([0.0 if node.call == VIEW else i + 1.0 for i, node in enumerate(leaves)]))
    provenance = ["interpolated"] * len(flat)
    provenance[0] = provenance[flat.leaf_index[-1]] = "extrapolated"
    values = NodeValues(
        energy_j=joules, low_j=0.8 * joules, high_j=1.3 * joules, duration_s=joules / 1000, isolated_energy_j=joules,
        compute_j=0.5 * joules, memory_j=0.25 * joules, static_j=0.125 * joules, launch_gap_j=0.125 * joules,
        communication_j=0.0 * joules,
        flop=100 * joules, traffic_bytes=10 * joules, provenance=tuple(provenance),
        bound=tuple("memory_bound" if j else "" for j in joules),
    )  # fmt: skip
    shares = {"interpolated": 1 - float(joules[-1] / joules[0]), "extrapolated": float(joules[-1] / joules[0])}
    return Prediction(tree, "h200", PredictorInfo("test", "1", "nothing"), values, shares)


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Rows that follow a made law."""
    from tests.predictor.made_law import law_rows

    return law_rows()


@pytest.fixture(scope="session")
def fitted(rows: pd.DataFrame) -> Predictor:
    """The predictor that is fitted on them."""
    from irene.predictor.training import fit

    return fit(rows)


@pytest.fixture(scope="session")
def shipped() -> Predictor:
    """The predictor that comes with irene."""
    from irene.predictor.bundle import load_bundle, shipped_bundle

    return load_bundle(shipped_bundle("h200"))
