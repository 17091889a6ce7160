"""A Hugging Face id -> its config, from the local cache or the Hub; each way to fail has a message of its own.

The Hub is asked once, for a few seconds, before transformers asks it: behind a dead network the library would try for
minutes. Python code of a repository is never run.
"""

from __future__ import annotations

import os
from threading import Thread
from typing import Any

from irene.errors import BadConfig, BadInput, UnknownName, in_one_line
from irene.tracing.bundled_models import known_names
from irene.tracing.library import load_transformers

WAIT_S = 4.0
"""For an answer of the Hub; with what comes after it an error is there within five seconds."""

_LISTS = "'irene models' lists the bundled ones."


def load_from_hub(model: str) -> Any:
    """The config of a Hugging Face id. Raises UnknownName, BadInput or BadConfig."""
    import huggingface_hub
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
        is_cached = isinstance(huggingface_hub.try_to_load_from_cache(model, "config.json"), str)
    except ValueError:
        raise UnknownName("model", model, known_names(), hint=_LISTS) from None
    if not is_cached and _is_offline():
        hint = f"{_LISTS} HF_HUB_OFFLINE=1 keeps others out of reach, but for what is in its cache."
        raise UnknownName("model", model, known_names(), hint=hint)
    if not is_cached:
        _require_answer(model, *_ask(model))
    return _read(model, from_cache=is_cached)


def refuse_remote_code(model: str) -> BadInput:
    """The error for a model whose classes are Python code of its own repository."""
    return BadInput(
        f"{model} needs Python code of its own repository, which irene does not run. Build the model yourself and give "
        "the torch.nn.Module with example inputs, or a config of an architecture that transformers has."
    )


def _read(model: str, *, from_cache: bool) -> Any:
    transformers = load_transformers("AutoConfig", "CONFIG_MAPPING")
    try:
        return transformers.AutoConfig.from_pretrained(model, local_files_only=from_cache, trust_remote_code=False)
    except Exception as error:  # whatever the library's config classes raise
        if "trust_remote_code" in str(error):
            raise refuse_remote_code(model) from None
        raise BadConfig(f"transformers cannot read the config of {model}: {in_one_line(error)}") from None


def _is_offline() -> bool:
    from huggingface_hub import constants

    said = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return bool(constants.HF_HUB_OFFLINE) or any(word in ("1", "ON", "YES", "TRUE") for word in said)


def _ask(model: str) -> tuple[int, str]:
    """The Hub's status and error code for a model's config; status 0 and a reason where it does not answer."""
    from huggingface_hub.utils import build_hf_headers, get_session

    answer: list[tuple[int, str]] = []

    def ask() -> None:
        try:
            url = f"{_endpoint()}/{model}/resolve/main/config.json"
            response = get_session().head(url, headers=build_hf_headers(), timeout=WAIT_S)
            answer.append((response.status_code, response.headers.get("X-Error-Code", "")))
        except Exception as error:  # whatever the library's client raises
            answer.append((0, in_one_line(error)))

    thread = Thread(target=ask, daemon=True)  # a name server that is silent obeys no time limit
    thread.start()
    thread.join(WAIT_S)
    return answer[0] if answer else (0, f"no answer in {WAIT_S:g} s")


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _require_answer(model: str, status: int, reason: str) -> None:
    """Raise the error that an answer of the Hub means, if any."""
    if status == 0 or status >= 500:
        raise BadInput(
            f"{model} is not bundled, and {_endpoint()} cannot be reached ({reason or status}). {_LISTS} A config.json "
            "needs no network."
        )
    if reason == "GatedRepo" or status == 403:
        raise BadInput(
            f"{model} is gated: ask for access at {_endpoint()}/{model} and log in ('hf auth login'), or give its "
            "config.json."
        )
    if reason == "EntryNotFound":
        raise BadInput(f"{model} is on the Hub but has no config.json: it is no model of transformers.")
    if status >= 400:
        hint = f"The Hub knows none of that name, or it is private: log in ('hf auth login'). {_LISTS}"
        raise UnknownName("model", model, known_names(), hint=hint)
