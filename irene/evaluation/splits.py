"""Who may teach and who is judged: whole families, or whole sites, held out without leaks.

Rows are frames in the columns of `irene.dataset.schema.Row` (or labels of `label_cases`). Masks are aligned with the
order of the rows. A row that is in neither mask of a fold is kept back: reference calls, the reserved families, and
replays with unevenly drawn loads of experts, since calls are predicted with equal loads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from irene.arrays import BoolArray
from irene.dataset.families import RANDOM_SHAPES, reserved_families
from irene.dataset.store import has_drawn_loads
from irene.errors import BadDataset, BadInput
from irene.primitives.call import read_signature
from irene.primitives.sites import Site, site_of_call

Mask: TypeAlias = BoolArray
T = TypeVar("T")


class Fold(NamedTuple):
    """`name` is what is held out (several families are joined by ','); `train` and `test` never overlap."""

    name: str
    train: Mask
    test: Mask


def leave_one_family_out(
    rows: pd.DataFrame, families: Sequence[str] | None = None, *, random_trains: bool = True
) -> Iterator[Fold]:
    """One fold a family: train without every row whose signature only that family has, test on exactly those.

    A signature's families are those of all rows that carry it. Signatures that a training family has too stay in
    training and are not judged: predicting them would be looking them up. Reserved families count as no training
    family, and their own rows are in neither mask. Random shapes count as a training family, since they are
    in every training set by design; `random_trains=False` removes them too where they hit a held-out signature.
    `families` are by default all that the rows name, but for the reserved; those without own rows yield no fold.

    Raises `BadInput` for a reserved or absent family, `BadDataset` for rows that name no family.
    """
    sets = _family_sets(rows)
    reserved = reserved_families()
    judgeable = (found for found, apart in zip(sets, _is_apart(rows), strict=True) if not apart)
    present = sorted(frozenset().union(*judgeable) - reserved - {RANDOM_SHAPES})
    for family in present if families is None else families:
        if family in reserved:
            raise BadInput(f"Family {family!r} is reserved: it is judged once per release, by leave_reserve_out.")
        if family not in present:
            raise BadInput(f"No rows of family {family!r}; there are {', '.join(present) or 'none'}.")
        fold = _hold_out(rows, sets, {family}, reserved, random_trains)
        if fold.test.any():
            yield fold


def leave_reserve_out(rows: pd.DataFrame, *, random_trains: bool = True) -> Iterator[Fold]:
    """One fold a reserved family, all of them kept out of training: for the one judgement of a release."""
    sets = _family_sets(rows)
    reserved = reserved_families()
    for family in sorted(reserved):
        fold = _hold_out(rows, sets, {family}, reserved - {family}, random_trains)
        if fold.test.any():
            yield fold


def leave_sites_out(rows: pd.DataFrame, folds: int = 5, seed: int = 0, within: Mask | None = None) -> Iterator[Fold]:
    """`folds` folds over primitive rows, whole sites (`site_of`) held out; every site is judged in exactly one.

    Sites are divided per kind of site (products, attention, each other op), so that each fold has some of each. Rows of
    modules and models, reference calls, replays with drawn loads and signatures that only reserved families have are in
    neither mask. `within` restricts both masks: pass an outer fold's `train` to make choices inside it.
    """
    sets = _family_sets(rows)
    reserved = reserved_families()
    usable = (rows["level"] == "primitive").to_numpy() & ~_is_apart(rows)
    usable &= np.array([bool(found - reserved) for found in sets], dtype=bool)
    if within is not None:
        usable &= within
    known: dict[str, Site] = {}
    for signature in rows.loc[usable, "signature"]:
        if signature not in known:
            known[signature] = site_of(signature)
    by_kind: dict[str, list[Site]] = {}
    for site in sorted(set(known.values()), key=repr):
        by_kind.setdefault(str(site[0]), []).append(site)
    generator = np.random.default_rng(seed)
    held: list[set[Site]] = [set() for _ in range(folds)]
    for number, sites in enumerate(by_kind.values()):
        for place, group in enumerate(_divide(sites, folds, generator)):
            held[(place + number) % folds].update(group)  # turned, so that single sites do not all meet in fold 0
    for number, sites_out in enumerate(held):
        hit = np.array([known.get(s) in sites_out for s in rows["signature"]], dtype=bool)
        if (usable & hit).any():
            yield Fold(f"sites {number + 1}/{folds}", usable & ~hit, usable & hit)


def site_of(signature: str) -> Site:
    """The place in a model that a primitive's signature comes from, whatever the batch or the sequence.

    Products: ("product", N, K, dtype). Attention: ("attention", heads, key-value heads, head size, dtype). The rest:
    (op, width), the width being the last dimension of the output. Raises `BadDataset` if it is no signature.
    """
    try:
        call = read_signature(signature)
    except BadInput as error:
        raise BadDataset(f"Not the signature of a call: {error} Collect that row again.") from None
    return site_of_call(call)


def _hold_out(
    rows: pd.DataFrame, sets: Sequence[frozenset[str]], held: set[str], held_back: Collection[str], random_trains: bool
) -> Fold:
    away = held.union(held_back)
    test, train = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for number, families in enumerate(sets):
        teachers = families - away
        if not random_trains and families & away:
            teachers -= {RANDOM_SHAPES}
        train[number] = bool(teachers)
        test[number] = bool(families & held) and not teachers
    usable = ~_is_apart(rows)
    return Fold(",".join(sorted(held)), train & usable, test & usable)


def _family_sets(rows: pd.DataFrame) -> list[frozenset[str]]:
    """The families of each row: of every row with the same signature, since two plans may name different ones."""
    own = [frozenset(filter(None, (name.strip() for name in text.split(",")))) for text in rows["families"]]
    of_signature: dict[str, frozenset[str]] = {}
    for signature, found, apart in zip(rows["signature"], own, _is_apart(rows), strict=True):
        if signature and not apart:  # it teaches nothing, so its family must not keep a signature
            of_signature[signature] = of_signature.get(signature, frozenset()) | found
    sets = [of_signature.get(s, found) for s, found in zip(rows["signature"], own, strict=True)]
    nameless = np.array([not found for found in sets], dtype=bool) & ~_is_apart(rows)
    if nameless.any():
        case = rows["case"].iloc[int(np.argmax(nameless))]
        raise BadDataset(
            f"{int(nameless.sum())} rows name no family, as case {case!r}: no fold is without a leak then."
        )
    return sets


def _is_apart(rows: pd.DataFrame) -> Mask:
    """Rows that neither teach nor are judged: reference calls, replays with drawn loads, and (not yet) generations."""
    apart = rows["reference"].to_numpy(dtype=bool) | has_drawn_loads(rows).to_numpy(dtype=bool)
    generations: Mask = rows["level"].isin(["generation", "decode_step"]).to_numpy(dtype=bool)
    return apart | generations


def _divide(items: Sequence[T], groups: int, generator: np.random.Generator) -> list[list[T]]:
    if groups < 2:
        raise ValueError(f"expected at least 2 folds, got {groups}")
    order = generator.permutation(len(items))
    return [[items[i] for i in order[start::groups]] for start in range(min(groups, len(items)))]
