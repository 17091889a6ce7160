"""What MODEL means: a name, hub id, directory or file, and its variants -> a config with its name, or a saved tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from irene.errors import BadConfig, BadInput, UnknownName, in_one_line
from irene.model_tree.model_files import ModelFile, open_model_file
from irene.model_tree.serialization import is_tree, read_tree
from irene.model_tree.tree import ModelTree
from irene.tracing.bundled_models import find_bundled
from irene.tracing.config_sizes import check_sizes
from irene.tracing.hub import load_from_hub, refuse_remote_code
from irene.tracing.library import load_transformers
from irene.variants.grammar import split_variants


@dataclass(frozen=True, slots=True, eq=False)
class NamedConfig:
    """A transformers config, and what its model is called.

    `make` builds the config, when it is first asked for: that needs transformers. `content` is all that it is built
    from, as JSON; None where that is not known.
    """

    make: Callable[[], Any]
    name: str
    content: str | None = None
    _made: list[Any] = field(init=False, repr=False, default_factory=list)

    @property
    def config(self) -> Any:
        """The config, always the same one. Raises BadConfig if transformers cannot build it."""
        if not self._made:
            self._made.append(self.make())
        return self._made[0]


def read_source(model: Any) -> Any:
    """The tree or the `NamedConfig` behind a name or path, the module of a program; anything else as it is."""
    if isinstance(model, str | Path):
        return read_named(str(model), open_model_file(model))
    # To name its class would import the exporter.
    return model.module() if type(model).__name__ == "ExportedProgram" else model


def read_named(name: str, file: ModelFile | None) -> ModelTree | NamedConfig:
    """What `name` means, whose file is open; with None it is a bundled name or a hub id, with variants behind a '+'.

    Raises UnknownName for a name that is neither bundled nor found, BadConfig for a file that is no config.
    """
    if file is None and "+" in name:
        return _changed(name)
    if file is not None:
        where = str(file.path)
        return read_tree(file.content, where) if is_tree(file.content) else _named_file(file, name)
    bundled = find_bundled(name)
    if bundled is not None:
        return NamedConfig(bundled.build_config, name, json.dumps(asdict(bundled), sort_keys=True))
    config = load_from_hub(name)
    return NamedConfig(lambda: config, name)


def load_config(model: str) -> Any:
    """The transformers config behind a name or path, variants and all: no weights, and for bundled names no network.

    Raises as `read_named`, and BadConfig for a saved tree.

    >>> load_config("bert-base-uncased+layers:6").num_hidden_layers
    6
    """
    found = read_source(model)
    if not isinstance(found, NamedConfig):
        raise BadConfig(f"{model}: a saved tree. Expected a transformers config.json.")
    return found.config


def _changed(text: str) -> NamedConfig:
    """The config of a name with variants behind it."""
    base, changes = split_variants(text)
    found = read_source(base)
    if not isinstance(found, NamedConfig):
        raise BadInput(f"{base}: a saved tree is what it is; variants change a config: name the model.")
    # A variant of somebody else's code may change without its name.
    is_own = all(change.variant.function.__module__.startswith("irene.variants.") for change in changes)
    content = json.dumps([found.content, *map(str, changes)]) if is_own and found.content is not None else None
    return NamedConfig(lambda: reduce(lambda config, change: change(config), changes, found.config), text, content)


def _named_file(file: ModelFile, name: str) -> NamedConfig:
    path, data = file.path, file.content
    if not isinstance(data, dict) or "model_type" not in data:
        raise BadConfig(f"{path}: no 'model_type' in it. Expected a transformers config.json.")
    return NamedConfig(lambda: _build(file), name, json.dumps(data, sort_keys=True))


def _build(file: ModelFile) -> Any:
    transformers = load_transformers("AutoConfig", "CONFIG_MAPPING")
    path, data = file.path, file.content
    known = list(transformers.CONFIG_MAPPING)
    if data["model_type"] not in known and "auto_map" in data:
        raise refuse_remote_code(str(path))
    if data["model_type"] not in known:
        raise BadConfig(f"{path}: {UnknownName('model_type', str(data['model_type']), known)}")
    try:
        check_sizes(data)  # some classes make a list of their layers
        return transformers.AutoConfig.for_model(**data)
    except BadConfig as error:
        raise BadConfig(f"{path}: {error}") from None
    except Exception as error:  # any validation of any of the library's config classes
        raise BadConfig(f"{path}: transformers cannot build this config: {in_one_line(error)}") from None
