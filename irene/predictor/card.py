"""A predictor for one board: a factor on its power, that one metered reference call tells."""

from __future__ import annotations

from dataclasses import replace

from irene.errors import BadInput
from irene.leaves.card import CardLeaves
from irene.predictor.predictor import Predictor

LOWEST, HIGHEST = 0.5, 2.0
"""Boards of one kind were 13 % under to 12 % over their mean; beyond a factor of two it is another device."""


def with_card(predictor: Predictor, factor: float) -> Predictor:
    """The predictor of a board that draws `factor` times what others of its kind do, idle power too.

    Raises BadInput for a factor that no board has.
    """
    if not LOWEST <= factor <= HIGHEST:
        raise BadInput(
            f"A card factor is what one board draws over what is predicted, {LOWEST:g} to {HIGHEST:g}; got {factor:g}. "
            "'irene collect --reference' measures it."
        )
    if factor == 1.0:
        return predictor
    spec = predictor.spec
    idle_w = min(factor * spec.context_idle_power_w, 0.99 * spec.power_cap_w)
    return replace(
        predictor,
        info=replace(predictor.info, name=f"{predictor.info.name}, card factor {factor:g}"),
        spec=replace(spec, context_idle_power_w=idle_w, idle_power_w=min(spec.idle_power_w, idle_w)),
        leaves=CardLeaves(predictor.leaves, factor, spec.power_cap_w),
    )
