"""A question from a stranger, as names and texts: which are known, and how large may they be?

Only bundled models, shipped devices and configs that are sent along: no name of a file, no hub, no predictor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlencode

from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput, UnknownName
from irene.hardware.devices import list_devices
from irene.quoting import quote
from irene.tracing.bundled_models import find_bundled, list_bundled

MOST_CONFIG_BYTES = 256 * 1024
_MOST_CHARACTERS = 400
MOST = {"batch_size": 65_536, "seq_len": 1_048_576, "new_tokens": 65_536, "gpus": 8}
"""The largest of each size. What is allowed may still take too long; the workers' clock ends that."""
CHOICES = {
    "dtype": ("bfloat16", "float16", "float32"),
    "execution": ("eager", "cuda_graph"),
    "task": ("base", "causal-lm", "masked-lm", "seq2seq-lm", "sequence-classification"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a form or a link asks; `config` is the text of a `config.json` in the place of `model`.

    An empty text or None leaves a setting as `irene.predict` has it.
    """

    model: str = ""
    variant: str = ""
    device: str = DEFAULT_DEVICE
    dtype: str = ""
    execution: str = ""
    task: str = ""
    batch_size: int | None = None
    seq_len: int | None = None
    new_tokens: int | None = None
    gpus: int | None = None
    config: str = ""

    @property
    def settings(self) -> dict[str, str | int]:
        """What was asked of the workload, by the names of `irene.predict`."""
        names = (*CHOICES, *MOST)
        return {name: value for name in names if (value := getattr(self, name)) not in ("", None)}

    def to_query(self) -> str:
        """The part of a link after '?', with what differs from the defaults; nothing of a config that was sent.

        >>> Question(model="gpt2", batch_size=8).to_query()
        'model=gpt2&batch_size=8'
        """
        default = Question()
        pairs = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "config"}
        return urlencode({name: value for name, value in pairs.items() if value != getattr(default, name)})


def read_question(given: Mapping[str, str], config: bytes = b"") -> Question:
    """The question in the fields of a form or a link; empty ones are as if they were not there.

    Raises UnknownName for a field, model, device or choice that nobody knows, BadInput for a size or a text out of
    its bounds, or where neither a model nor a config is given.

    >>> read_question({"model": "gpt2", "batch_size": "8", "seq_len": ""}).settings
    {'batch_size': 8}
    """
    asked = {name: text.strip() for name, text in given.items() if text.strip() and name != "config"}
    known = [f.name for f in fields(Question) if f.name != "config"]
    for name, text in asked.items():
        if name not in known:
            raise UnknownName("field", name, known)
        if len(text) > _MOST_CHARACTERS:
            raise BadInput(f"{name}: expected at most {_MOST_CHARACTERS} characters, got {len(text)}.")
        if name in CHOICES and text not in CHOICES[name]:
            raise UnknownName(name, text, CHOICES[name])
    sizes = {name: _read_size(name, asked.pop(name)) for name in MOST if name in asked}
    found = Question(**asked, **sizes, config=_read_config(config))  # type: ignore[arg-type]  # sizes are numbers
    if found.device not in list_devices():
        raise UnknownName("device", found.device, list_devices())
    if not found.config:
        _require_bundled(found.model)
    return found


def _read_size(name: str, text: str) -> int:
    least = 0 if name == "new_tokens" else 1
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= MOST[name]):
        raise BadInput(f"{name}: expected a whole number from {least} to {MOST[name]:,}, got {quote(text)}.")
    return int(text)


def _read_config(content: bytes) -> str:
    if len(content) > MOST_CONFIG_BYTES:
        raise BadInput(f"config: expected a config.json of at most {MOST_CONFIG_BYTES:,} bytes, got {len(content):,}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("config: expected a config.json, which is text in UTF-8; got other bytes.") from None


def _require_bundled(model: str) -> None:
    """A bundled name, with variants or without: anything else might be a file of this machine, or a download."""
    name = model.partition("+")[0]
    if not name:
        raise BadInput("model: expected the name of a bundled model, or a config.json; got neither.")
    if find_bundled(name) is None:
        names = [known for one in list_bundled() for known in (one.name, *one.aliases)]
        raise UnknownName("model", name, names, hint="Or send its config.json.")
