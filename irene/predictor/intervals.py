"""How wrong a prediction may be: the 90 % quantile of log errors on cases that were not learned from.

Split-conformal with the finite-sample correction: of n errors, the ceil(0.9 (n + 1))-th smallest. Groups with too few
errors fall back to all errors together, never to a guess.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.9
WITH_RUNTIME = "with_runtime"
FALLBACK_FACTOR = 10.0
"""A primitive that nothing is known of but its bytes may take this much more, or less."""
OUTSIDE_FACTOR = 2.0
"""Outside the data errors in log energy are taken to be so much larger, and once more for each further doubling."""
OUTSIDE = ("extrapolated", "transferred")
ONE_TEMPLATE = "vector-pointwise"
"""The set of kernels that are one, with another function inside: what one form of it errs by, another may."""
FEWEST_ERRORS = 10
"""That a half-width is made of."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Half-widths in log energy: by primitive kind (in low precision by regressor of time), and by regime of a pass.

    Regimes are 'cuda_graph', 'eager', 'host_bound', and WITH_RUNTIME for any pass whose run was watched. `by_form` are
    of kinds too: of calls whose form (operator and layout) was held out, all calls of it together.
    """

    by_kind: Mapping[str, float]
    any_kind: float
    by_regime: Mapping[str, float]
    any_regime: float
    by_form: Mapping[str, float]
    any_form: float

    def of_kind(self, kind: str, provenance: str, octaves: float = 0.0) -> float:
        """A primitive's half-width; for a bytes roof it is a factor of ten.

        `octaves` say how often its size doubles the largest that was timed (see `widening`).
        """
        if provenance == "fallback":
            return max(math.log(FALLBACK_FACTOR), self.any_kind)
        width = self.by_kind.get(kind, self.any_kind)
        return widening(provenance, octaves) * width

    def of_new_form(self, kind: str) -> float:
        """The least half-width of a call of a kind that was timed, in a form that was not."""
        return self.by_form.get(kind, self.any_form)

    def of_regime(self, regime: str) -> float:
        return self.by_regime.get(regime, self.any_regime)


@dataclass(frozen=True, slots=True)
class FormError:
    """Log of predicted over timed seconds of a call by what has seen none of its form.

    `kind` is what it is known by.
    """

    kind: str
    regressor: str
    form: str
    error: float


def widening(provenance: str, octaves: float = 0.0) -> float:
    """How many times what is known inside the data a half-width is.

    A call counts as inside up to a doubling of the largest size; there its width is twice the known one, and it grows
    by the known one with each doubling: what is far from any measurement is known as badly as it is far.

    >>> widening("interpolated", 0.9), widening("extrapolated", 1.0), widening("extrapolated", 20.0)
    (1.0, 2.0, 21.0)
    """
    return max(OUTSIDE_FACTOR, 1.0 + octaves) if provenance in OUTSIDE else 1.0


def conformal_half_width(log_errors: Sequence[float]) -> float:
    """The half-width that covers 90 % of exchangeable errors.

    >>> conformal_half_width([0.1 * i for i in range(1, 20)])
    1.8
    """
    ranked = sorted(abs(error) for error in log_errors)
    place = min(len(ranked), math.ceil(LEVEL * (len(ranked) + 1)))
    return round(ranked[place - 1], 6)


def form_half_width(kinds: Sequence[Sequence[Sequence[float]]]) -> float:
    """The half-width that covers 90 % of the calls of another form: errors by kind, by form, by call.

    Kinds count alike, in a kind its forms, in a form its calls: the next form is as likely of any. The correction for
    few errors is that for as many as there are forms.

    >>> form_half_width([[[0.1, -0.1]] * 18 + [[0.5] * 9]])
    0.1
    >>> form_half_width([[[0.1, -0.1]] * 18, [[0.5] * 9]])
    0.5
    """
    forms = sum(map(len, kinds))
    ranked = sorted(
        (abs(error), 1.0 / (len(kinds) * len(of_kind) * len(errors)))
        for of_kind in kinds for errors in of_kind for error in errors
    )  # fmt: skip
    enough = min(1.0, LEVEL * (forms + 1) / forms) - 1e-9
    within = itertools.accumulate(weight for _, weight in ranked)
    place = next((at for at, weight in enumerate(within) if weight >= enough), len(ranked) - 1)
    return round(ranked[place][0], 6)


def calibrate(
    kind_errors: Iterable[tuple[str, float]], regime_errors: Iterable[tuple[str, float]],
    form_errors: Iterable[FormError] = (),
) -> Intervals:  # fmt: skip
    """(kind, log error) of primitives, (regime, log error) of passes, errors of forms held out.

    None is of a case that was learned from. Without errors of forms, a form adds nothing.
    """
    by_kind, any_kind = _widths(list(kind_errors))
    by_regime, any_regime = _widths(list(regime_errors))
    return Intervals(by_kind, any_kind, by_regime, any_regime, *_form_widths(form_errors))


def _form_widths(form_errors: Iterable[FormError]) -> tuple[dict[str, float], float]:
    """By kind, and of any. Of kinds with few forms all forms count that are run by the same template, if one is."""
    kinds: dict[str, dict[tuple[str, str], list[float]]] = {}
    of_template: dict[str, list[list[float]]] = {}
    for one in form_errors:
        kinds.setdefault(one.kind, {}).setdefault((one.regressor, one.form), []).append(one.error)
    for kind, forms in sorted(kinds.items()):
        if all(regressor == ONE_TEMPLATE for regressor, _ in forms):
            of_template[kind] = list(forms.values())
    widths = {}
    for kind, forms in sorted(kinds.items()):
        if len(forms) >= FEWEST_ERRORS:
            widths[kind] = form_half_width([list(forms.values())])
        elif kind in of_template:
            widths[kind] = form_half_width(list(of_template.values()))
    of_kinds = [list(forms.values()) for _, forms in sorted(kinds.items())]
    return widths, form_half_width(of_kinds) if of_kinds else 0.0


def _widths(errors: list[tuple[str, float]]) -> tuple[dict[str, float], float]:
    groups: dict[str, list[float]] = {}
    for group, error in errors:
        groups.setdefault(group, []).append(error)
    every = [error for _, error in errors]
    pooled = conformal_half_width(every) if every else math.log(2.0)
    return {g: conformal_half_width(e) for g, e in sorted(groups.items()) if len(e) >= FEWEST_ERRORS}, pooled
