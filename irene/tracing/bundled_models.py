"""Named model configurations that ship with irene, so that a name needs no network and no weights.

Each TOML file in `bundled/` holds one group of models; every entry says where its hyper-parameters and its published
parameter count come from. Reading the names imports neither torch nor transformers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from irene.errors import BadConfig
from irene.tracing.library import load_transformers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class BundledModel:
    """One bundled model: its name, its configuration, and where both come from.

    `config` holds the arguments of the transformers config class of `model_type`, in the format of transformers 5.
    `unset` names the arguments that the checkpoint sets to nothing although the class has a default: TOML has no null.
    `published_parameters` is what `published_source` prints, `published_precision` half a unit of its last digit
    (0: exact; a whole unit where digits were cut off), and `published_counts` what that number includes: a key of
    `PUBLISHED_COUNTS` in the tests, which build every model and count.

    >>> find_bundled("bert-base-uncased").name
    'google-bert/bert-base-uncased'
    """

    name: str
    model_type: str
    architecture: str
    source: str
    config: Mapping[str, Any] = field(hash=False)
    aliases: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    published_parameters: int | None = None
    published_precision: int = 0
    published_counts: str = "checkpoint"
    published_source: str | None = None

    def build_config(self) -> PretrainedConfig:
        """Return the transformers config of the checkpoint; needs transformers, no network.

        Raises `BadConfig` where the installed transformers does not know the model type or an argument's value.
        """
        library = load_transformers("AutoConfig")
        # transformers standardises rope settings in place, so it must not get our own dicts.
        arguments: dict[str, Any] = {**_copied(self.config), **dict.fromkeys(self.unset)}
        try:
            return library.AutoConfig.for_model(self.model_type, architectures=[self.architecture], **arguments)
        except (ValueError, TypeError, KeyError) as error:
            raise BadConfig(
                f"The bundled model {self.name!r} does not build with the installed transformers: {error}. "
                "Upgrade transformers to 5 or newer."
            ) from error


def list_bundled() -> tuple[BundledModel, ...]:
    """Return all bundled models, sorted by name without regard to case."""
    return _load_all()


def find_bundled(name: str) -> BundledModel | None:
    """Return the bundled model of this name or alias, or None.

    Case does not matter; the part after the slash is enough where only one model has it.

    >>> find_bundled("gpt2-XL").name
    'openai-community/gpt2-xl'
    >>> find_bundled("no-such-model") is None
    True
    """
    return _index().get(name.strip().lower())


def known_names() -> tuple[str, ...]:
    """Return every name and alias, sorted: what an error offers as the nearest known name."""
    names = {spelling for model in _load_all() for spelling in (model.name, *model.aliases)}
    return tuple(sorted(names, key=str.lower))


@functools.cache
def _load_all() -> tuple[BundledModel, ...]:
    models: list[BundledModel] = []
    folder = files("irene.tracing") / "bundled"
    for path in folder.iterdir():
        if path.name.endswith(".toml"):
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            models += [_read(entry, path.name) for entry in document["model"]]
    return tuple(sorted(models, key=lambda model: model.name.lower()))


def _read(entry: dict[str, Any], file_name: str) -> BundledModel:
    try:
        return BundledModel(**{**entry, **{key: tuple(entry.get(key, ())) for key in ("aliases", "unset")}})
    except TypeError as error:
        raise BadConfig(f"bundled/{file_name}: entry {entry.get('name', '?')!r} is malformed: {error}.") from error


@functools.cache
def _index() -> dict[str, BundledModel]:
    index = {spelling.lower(): model for model in _load_all() for spelling in (model.name, *model.aliases)}
    by_short_name: dict[str, set[str]] = {}
    for model in _load_all():
        for spelling in (model.name, *model.aliases):
            by_short_name.setdefault(spelling.rsplit("/", 1)[-1].lower(), set()).add(model.name.lower())
    for short, owners in by_short_name.items():
        if len(owners) == 1:
            index.setdefault(short, index[next(iter(owners))])
    return index


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
