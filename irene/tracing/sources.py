"""What the user means by MODEL: a bundled name, a hub id, a directory, a config file -> a transformers config."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from irene.errors import BadConfig, UnknownName
from irene.tracing.building import first_line
from irene.tracing.bundled_models import find_bundled, known_names


def load_config(model: str) -> Any:
    """The config behind a name or path.

    Raises UnknownName for a name that is neither bundled nor found, BadConfig for a file that is no config.
    """
    path = Path(os.path.expanduser(model))
    if os.path.isdir(path):
        return _load_config_file(path / "config.json")
    if os.path.isfile(path) or path.suffix == ".json":
        return _load_config_file(path)
    bundled = find_bundled(model)
    if bundled is not None:
        return bundled.build_config()
    return _load_from_hub(model)


def _load_config_file(path: Path) -> Any:
    import transformers

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"No such file: {path}. Expected a config.json, or a directory that holds one.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadConfig(f"{path}: not readable as JSON ({error}). Expected a transformers config.json.") from None
    if not isinstance(data, dict) or "model_type" not in data:
        raise BadConfig(f"{path}: no 'model_type' in it. Expected a transformers config.json.")
    known = list(transformers.CONFIG_MAPPING)
    if data["model_type"] not in known:
        raise BadConfig(f"{path}: {UnknownName('model_type', str(data['model_type']), known)}")
    try:
        return transformers.AutoConfig.for_model(**data)
    except Exception as error:  # any validation of any of the library's config classes
        raise BadConfig(f"{path}: transformers cannot build this config: {first_line(error)}") from None


def _load_from_hub(model: str) -> Any:
    import transformers

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return transformers.AutoConfig.from_pretrained(model)
    except Exception:  # offline, absent, gated: for the user all the same
        offline = os.environ.get("HF_HUB_OFFLINE") == "1"
        hint = "'irene models' lists the bundled ones."
        hint += " HF_HUB_OFFLINE=1 keeps others out of reach." if offline else ""
        raise UnknownName("model", model, known_names(), hint=hint) from None
