"""Training of the child weights: gradients by finite differences, and whole trainings beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from irene.irene_2021.level_order import plant_forest
from irene.irene_2021.settings import Settings
from irene.irene_2021.weights import TrainingTree, loss_gradient, train_weights
from tests.irene_2021.made_trees import random_table

ALL = [
    Settings(training_strategy=strategy, weighting_setting=weighting, normalize_loss_scale=scaled)  # type: ignore[arg-type]
    for strategy, weighting in (
        ("end2end", "close_to_one"), ("end2end", "free"), ("stepwise", "close_to_one"), ("stepwise", "free"),
        ("unstructured", "free"),
    )
    for scaled in (True, False)
]  # fmt: skip
COLUMNS = 5


def training_tree(seed: int, count: int = 25) -> TrainingTree:
    nodes = random_table(seed, count)
    forest = plant_forest(nodes)
    random = np.random.default_rng(seed)
    which = random.integers(0, 9, count)
    energy_j = nodes.energy_j[forest.rows]
    leaf_j = np.where(forest.is_leaf, energy_j, 0.0)
    return TrainingTree(forest, random.normal(size=(9, COLUMNS)), which, leaf_j, energy_j * 1.1)


@pytest.mark.parametrize("settings", ALL)
def test_gradients_are_those_of_finite_differences(settings: Settings) -> None:
    tree, theta = training_tree(1), np.random.default_rng(2).normal(size=COLUMNS + 1) * 0.3
    gradient = loss_gradient(tree, theta, settings)[1]
    for i, step in enumerate(np.eye(COLUMNS + 1) * 1e-6):
        slope = (loss_gradient(tree, theta + step, settings)[0] - loss_gradient(tree, theta - step, settings)[0]) / 2e-6
        assert np.isclose(gradient[i], slope, rtol=1e-5, atol=1e-6)


def loss_in_torch(tree: TrainingTree, theta: torch.Tensor, settings: Settings) -> torch.Tensor:
    """The paper's recursion, child by child."""
    features = torch.tensor(tree.expanded)[tree.which]
    score = features @ theta[:-1] + theta[-1]
    weight = score if settings.weighting == "free" else 1 + torch.tanh(score) / settings.tanh_scalar
    children: dict[int, list[int]] = {}
    for place, parent in enumerate(tree.forest.parent.tolist()):
        children.setdefault(parent, []).append(place)
    loss: Any = torch.tensor(0.0, dtype=torch.float64)

    def energy(place: int) -> Any:
        nonlocal loss
        if place not in children:
            return torch.tensor(tree.leaf_j[place])
        below = [energy(child) for child in children[place]]
        if settings.training_strategy == "stepwise":
            below = [torch.tensor(tree.measured_j[child]) for child in children[place]]
        own = sum(weight[child] * part for child, part in zip(children[place], below, strict=True))
        if settings.training_strategy == "unstructured":
            own = weight[place]
        measured = tree.measured_j[place]
        loss = loss + (own - measured) ** 2 / (measured**2 if settings.normalize_loss_scale else 1.0)
        return own

    energy(0)
    return torch.as_tensor(loss)


@pytest.mark.parametrize("settings", ALL)
def test_training_goes_where_pytorchs_adam_goes(settings: Settings) -> None:
    trees = [training_tree(seed) for seed in range(3)]
    bound = 1 / np.sqrt(COLUMNS)
    start = np.random.default_rng(7).uniform(-bound, bound, COLUMNS + 1)
    theta = torch.tensor(start, requires_grad=True)
    adam = torch.optim.Adam([theta], lr=settings.learning_rate)
    for _ in range(settings.epochs):
        for tree in trees:
            adam.zero_grad()
            loss_in_torch(tree, theta, settings).backward()
            adam.step()
    ours = train_weights(trees, COLUMNS, settings, seed=7)
    assert np.allclose(ours, theta.detach().numpy(), rtol=1e-8, atol=1e-10)
    assert not np.allclose(ours, start, atol=1e-3)


def test_nothing_is_trained_where_weights_are_one() -> None:
    assert not train_weights([training_tree(0)], COLUMNS, Settings(training_strategy="none"), seed=0).any()
