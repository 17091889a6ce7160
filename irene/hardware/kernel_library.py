"""What a vendor's libraries do on an architecture: tiles of products, blocks of experts, the choice of attention.

One TOML file an architecture in `libraries/`, with how its numbers were found; a spec sheet names the one that its
device uses. Shares are of the device's own peak and bandwidth.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.primitives.chip import ATTENTION_BACKENDS, AttentionBackend

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIBRARIES = Path(__file__).parent / "libraries"
_PRODUCTS = ("half", "tf32", "tf32_split", "single")


@dataclass(frozen=True, slots=True)
class TileCosts:
    """Seconds of a launch, of a tile's start and of writing a tile of 128 x 256; shares of the device's peaks.

    `flop_share` is of its peak, `l2_share` and `hbm_share` of its HBM bandwidth, for tiles and for the whole: above 1
    where neighbours share loads.
    """

    launch_s: float
    start_s: float
    store_s: float
    flop_share: float
    l2_share: float
    hbm_share: float


@dataclass(frozen=True, slots=True)
class ProductKernels:
    """One set of kernels: tiles (rows, columns) with the slowness of each, and parts of K that it is cut into.

    `k_step` are elements of K at a time; partial sums cost `reduce_s` and `reduce_share` of the bandwidth. `chosen_by`
    are the costs that explain the picks, where they are not those that explain the times.
    """

    tiles: tuple[tuple[int, int], ...]
    slowness: tuple[float, ...]
    costs: TileCosts
    k_step: int
    splits: tuple[int, ...]
    reduce_s: float
    reduce_share: float
    chosen_by: TileCosts | None


@dataclass(frozen=True, slots=True)
class GroupedProducts:
    """Blocks of rows of an expert: `few_block_rows` up to `few` mean rows or columns, else `block_rows`.

    The shares say how much of the log of the number of blocks shows in the time.
    """

    few: int
    few_block_rows: int
    block_rows: int
    few_share: float
    share: float


@dataclass(frozen=True, slots=True)
class KernelLibrary:
    """`products` by name: 'half', 'tf32' and its 'tf32_split', 'single' for the rest.

    `walked_row_s` is what a row takes a block that walks over rows with loads on their way, `load_latency_s` what it
    takes a thread that waits for each load.
    """

    name: str
    attention_backends: tuple[AttentionBackend, ...]
    walked_row_s: float
    load_latency_s: float
    grouped_products: GroupedProducts
    half: ProductKernels
    tf32: ProductKernels
    tf32_split: ProductKernels
    single: ProductKernels


@cache
def load_library(name: str) -> KernelLibrary:
    """The kernels of an architecture, by name. Raises UnknownName, BadInput for a file that is not as it should be.

    >>> load_library("hopper").attention_backends[0]
    'cudnn'
    """
    known = sorted(path.stem for path in _LIBRARIES.glob("*.toml"))
    if name not in known:
        raise UnknownName("kernel library", name, known, "A spec sheet's 'kernel_library' names one of them.")
    return read_library((_LIBRARIES / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def read_library(text: str, where: str = "kernel library") -> KernelLibrary:
    """A kernel library from TOML text; `where` names it in errors. Raises BadInput for anything but exactly one."""
    try:
        data = tomllib.loads(text)
        if "like" in data:
            return _take_over(data)
        products = data.pop("products")
        backends = _backends(data)
        if set(products) != set(_PRODUCTS):
            raise ValueError(f"products are {', '.join(_PRODUCTS)}")
        return KernelLibrary(
            name=str(data.pop("name")),
            attention_backends=backends,
            walked_row_s=_positive(data.pop("walked_row_s")),
            load_latency_s=_positive(data.pop("load_latency_s")),
            grouped_products=GroupedProducts(**_exactly(GroupedProducts, data.pop("grouped_products"))),  # type: ignore[arg-type]
            **{name: _kernels(products[name]) for name in _PRODUCTS},
            **data,
        )
    except (KeyError, TypeError, ValueError, RecursionError, UnknownName) as error:
        raise BadInput(f"{where}: no kernel library ({type(error).__name__}: {error}).") from None


def _take_over(data: dict[str, Any]) -> KernelLibrary:
    """A library that is as another, `like`, but for the attention kernels: nobody listed its products."""
    if set(data) != {"name", "like", "attention_backends"}:
        raise ValueError("with 'like', expected the keys name, like, attention_backends")
    return replace(load_library(data["like"]), name=str(data["name"]), attention_backends=_backends(data))


def _backends(data: dict[str, Any]) -> tuple[AttentionBackend, ...]:
    backends = tuple(data.pop("attention_backends"))
    if not backends or not set(backends) <= set(ATTENTION_BACKENDS) or backends[-1] != "math":
        raise ValueError(f"attention_backends are some of {', '.join(ATTENTION_BACKENDS)}, math the last")
    return backends


def _kernels(table: Mapping[str, Any]) -> ProductKernels:
    own = dict(table)
    listed = [(row, columns, slowness) for columns, slowness, rows in own.pop("tiles") for row in rows]
    chosen_by = own.pop("chosen_by", None)
    return ProductKernels(
        tiles=tuple((int(row), int(columns)) for row, columns, _ in listed),
        slowness=tuple(_positive(slowness) for _, _, slowness in listed),
        costs=TileCosts(**_exactly(TileCosts, own.pop("costs"))),
        chosen_by=None if chosen_by is None else TileCosts(**_exactly(TileCosts, chosen_by)),
        splits=tuple(map(int, own.pop("splits"))),
        **own,
    )


def _exactly(kind: type[Any], table: Mapping[str, Any]) -> dict[str, float]:
    if set(table) != {field.name for field in fields(kind)}:
        raise ValueError(f"expected the keys {', '.join(field.name for field in fields(kind))}")
    return {name: _positive(value) for name, value in table.items()}


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"expected a positive number, got {value!r}")
    return value
