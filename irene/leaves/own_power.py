"""Kernels whose power has a regressor of its own beside the one for all: which they are, and what it sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from irene.leaves.attention_power import ATTENTION_REGRESSORS, attention_power_matrix, attention_power_names
from irene.leaves.convolution_power import (
    convolution_members,
    convolution_power_matrix,
    convolution_power_names,
)
from irene.leaves.leaf_table import LeafTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OwnPower:
    """Answers for the rows of a table that `members` finds, from columns `names`.

    `matrix` makes them, shape (members, columns), of a table, such rows of it and their burst seconds.
    """

    members: Callable[[LeafTable], NDArray[np.int64]]
    names: tuple[str, ...]
    matrix: Callable[[LeafTable, NDArray[np.int64], FloatArray], FloatArray]


OWN_POWER: Mapping[str, OwnPower] = MappingProxyType({
    **{
        name: OwnPower(
            methodcaller("members_of", name), attention_power_names(), partial(attention_power_matrix, name)
        )
        for name in ATTENTION_REGRESSORS
    },
    "convolution": OwnPower(convolution_members, convolution_power_names(), convolution_power_matrix),
})  # fmt: skip
