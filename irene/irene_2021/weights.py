"""Child weights as a function of features, and their training by Adam, one tree a step, as the authors do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.irene_2021.level_order import Forest
from irene.irene_2021.node_table import Floats, Integers
from irene.irene_2021.settings import Settings

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's usual constants (Kingma and Ba, 2015)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTree:
    """One tree ready for training, its arrays in level order.

    `expanded` has one row a distinct node, `which` says which one each node is; `leaf_j` is the predicted energy of the
    leaves and 0 at inner nodes, `measured_j` what was measured at every node.
    """

    forest: Forest
    expanded: Floats
    which: Integers
    leaf_j: Floats
    measured_j: Floats


def weigh(score: Floats, settings: Settings) -> Floats:
    """Weights from scores w . x: near one, or free."""
    if settings.weighting == "exact_one":
        return np.ones_like(score)
    return score if settings.weighting == "free" else 1.0 + np.tanh(score) / settings.tanh_scalar


def aggregate(forest: Forest, weight: Floats, leaf_j: Floats, settings: Settings) -> Floats:
    """Energies of all nodes in level order; `unstructured` takes the weight itself for the energy of an inner node."""
    if settings.training_strategy == "unstructured":
        return np.where(forest.is_leaf, leaf_j, weight)
    return forest.sum_up(weight, leaf_j)


def train_weights(trees: list[TrainingTree], columns: int, settings: Settings, seed: int) -> Floats:
    """Coefficients w of the expanded features, then the intercept: shape (columns + 1,).

    They start as PyTorch starts a linear layer, uniform within 1 / sqrt(columns), drawn from `seed`.
    """
    bound = 1.0 / np.sqrt(columns)
    theta: Floats = np.random.default_rng(seed).uniform(-bound, bound, columns + 1)
    if settings.weighting == "exact_one":
        return np.zeros(columns + 1)
    mean, spread = np.zeros_like(theta), np.zeros_like(theta)
    step = 0
    for _ in range(settings.epochs):
        for tree in trees:
            step += 1
            gradient = loss_gradient(tree, theta, settings)[1]
            mean += (1 - _BETA_1) * (gradient - mean)
            spread += (1 - _BETA_2) * (gradient * gradient - spread)
            scale = np.sqrt(spread / (1 - _BETA_2**step)) + _EPSILON
            theta -= settings.learning_rate / (1 - _BETA_1**step) * mean / scale
    return theta


def loss_gradient(tree: TrainingTree, theta: Floats, settings: Settings) -> tuple[float, Floats]:
    """Loss summed over the inner nodes of a tree, and its gradient by `theta`."""
    forest = tree.forest
    score_of_distinct = tree.expanded @ theta[:-1] + theta[-1]
    weight_of_distinct = weigh(score_of_distinct, settings)
    weight = weight_of_distinct[tree.which]
    inner = ~forest.is_leaf
    parent = forest.parent
    if settings.training_strategy == "stepwise":  # each step is taught with its children's measured energy
        energy = tree.measured_j
        predicted = forest.sum_children(weight * energy)
    else:
        energy = predicted = aggregate(forest, weight, tree.leaf_j, settings)
    scale = 1.0 / tree.measured_j**2 if settings.normalize_loss_scale else 1.0
    error = np.where(inner, predicted - tree.measured_j, 0.0)
    loss = float((error * error * scale).sum())
    by_energy = 2.0 * error * scale
    if settings.training_strategy == "unstructured":
        by_weight = by_energy
    else:
        above = by_energy if settings.training_strategy == "stepwise" else forest.spread_down(weight, by_energy)
        by_weight = np.where(parent < 0, 0.0, energy * above[parent])
    if settings.weighting == "close_to_one":
        slope = (1.0 - ((weight_of_distinct - 1.0) * settings.tanh_scalar) ** 2) / settings.tanh_scalar
    else:
        slope = np.ones_like(weight_of_distinct)
    by_score = np.bincount(tree.which, by_weight, len(slope)) * slope
    return loss, np.append(by_score @ tree.expanded, by_score.sum())
