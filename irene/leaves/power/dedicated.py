"""Kernels whose power has a regressor of its own beside the one for all: which they are, and what it sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from types import MappingProxyType

from irene.arrays import FloatArray, IntArray
from irene.leaves.kernel_sets import COLLECTIVE
from irene.leaves.leaf_table import LeafTable
from irene.leaves.power.attention import ATTENTION_REGRESSORS, attention_power_matrix, attention_power_names
from irene.leaves.power.collective import collective_power_matrix, collective_power_names
from irene.leaves.power.convolution import (
    convolution_members,
    convolution_power_matrix,
    convolution_power_names,
)
from irene.leaves.power.depthwise import DEPTHWISE, depthwise_power_matrix, depthwise_power_names
from irene.leaves.power.image_passes import IMAGES, image_power_matrix, image_power_names


@dataclass(frozen=True, slots=True)
class DedicatedPower:
    """Answers for the rows of a table that `members` finds, from columns `names`.

    `matrix` makes them, shape (members, columns), of a table, such rows of it and their burst seconds.
    """

    members: Callable[[LeafTable], IntArray]
    names: tuple[str, ...]
    matrix: Callable[[LeafTable, IntArray, FloatArray], FloatArray]


DEDICATED_POWER: Mapping[str, DedicatedPower] = MappingProxyType({
    **{
        name: DedicatedPower(
            methodcaller("members_of", name), attention_power_names(), partial(attention_power_matrix, name)
        )
        for name in ATTENTION_REGRESSORS
    },
    COLLECTIVE: DedicatedPower(
        methodcaller("members_of", COLLECTIVE), collective_power_names(), collective_power_matrix
    ),
    "convolution": DedicatedPower(convolution_members, convolution_power_names(), convolution_power_matrix),
    DEPTHWISE: DedicatedPower(methodcaller("members_of", DEPTHWISE), depthwise_power_names(), depthwise_power_matrix),
    IMAGES: DedicatedPower(methodcaller("members_of", IMAGES), image_power_names(), image_power_matrix),
})  # fmt: skip
