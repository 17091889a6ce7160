"""Families of architectures, read from `families.toml`: what counts as unseen when a predictor is judged."""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RANDOM_SHAPES = "grid"  # the family of signatures that no model launched: random shapes of a plan


def family_of(model_type: str) -> str:
    """The family of a transformers `model_type`; one that is not listed is its own family.

    >>> family_of("xlm-roberta"), family_of("gpt_neox"), family_of("mamba2")
    ('bert', 'gpt-neox', 'mamba2')

    Raises `ValueError` for an empty name, or one with a comma: rows join their families with commas.
    """
    plain = _plain(model_type)
    if not plain or "," in plain:
        raise ValueError(f"expected the model_type of a config, got {model_type!r}")
    return _family_by_type().get(plain, plain)


def reserved_families() -> frozenset[str]:
    """Families that are measured but kept back: judged once per release, no choice may depend on them."""
    return frozenset(_content()["reserved"])


def listed_families() -> dict[str, tuple[str, ...]]:
    """Every family of `families.toml` with its model types as written there."""
    return {family: tuple(types) for family, types in _content()["families"].items()}


@cache
def _family_by_type() -> dict[str, str]:
    found: dict[str, str] = {}
    for family, types in listed_families().items():
        for model_type in types:
            if found.setdefault(_plain(model_type), family) != family:
                raise ValueError(f"families.toml: {model_type!r} is in two families")
    return found


@cache
def _content() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("families.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _plain(model_type: str) -> str:
    return model_type.strip().lower().replace("_", "-")
