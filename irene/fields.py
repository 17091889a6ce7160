"""The strict reader of files that people may have edited: a value that knows where it stood.

Each question (`number`, `text`, `list`, ...) gives the value or raises the file's error, with the path of the field,
what was expected, and what was found:

    predictions/a.json: at tree.children[3].energy_j, expected a number of at least 0, got 'much'.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from irene.errors import BadInput
from irene.files import read_json
from irene.quoting import quote

MOST_TEXT = 10_000
"""Characters of one text: no name is longer, and a longer one would fill every table."""
MOST_WHOLE = 2**63 - 1
"""What an array of whole numbers holds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a file. `source` begins each message, `advice` ends it, `error` is what is raised.

    >>> top = Field({"sizes": [1, -2]}, "a.json")
    >>> top["sizes"].list()[1].whole()
    Traceback (most recent call last):
    ...
    irene.errors.BadInput: a.json: at sizes[1], expected a whole number of at least 0, got -2.
    """

    value: Any
    source: str
    error: type[BadInput] = BadInput
    advice: str = ""
    key: str | int = ""
    above: Field | None = None

    @property
    def path(self) -> str:
        """Where the value stands: `tree.children[3].energy_j`; `the top` for the whole file."""
        parts: list[str] = []
        field: Field | None = self
        while field is not None and field.above is not None:
            parts.append(f"[{field.key}]" if isinstance(field.key, int) else f".{_plain_key(field.key)}")
            field = field.above
        return "".join(reversed(parts)).removeprefix(".") or "the top"

    def fail(self, expected: str, got: object = ...) -> NoReturn:
        """Raise the error of this field; `got` takes the place of the value."""
        found = quote(self.value, 60) if got is ... else str(got)
        raise self.error(f"{self.source}: at {self.path}, expected {expected}, got {found}. {self.advice}".rstrip())

    def __getitem__(self, key: str) -> Field:
        if not isinstance(self.value, dict):
            self.fail("an object")
        if key not in self.value:
            self.fail(f"a key {key!r}", _list_keys(self.value))
        return Field(self.value[key], self.source, self.error, self.advice, key, self)

    def get(self, key: str) -> Field | None:
        """The value of a key; None where the key is missing."""
        return self[key] if not isinstance(self.value, dict) or key in self.value else None

    def keys(self, required: Iterable[str], optional: Iterable[str] = ()) -> Field:
        """This field, an object with all `required` keys and no others but the `optional` ones."""
        required = tuple(required)
        if not isinstance(self.value, dict) or not self.value.keys() >= set(required):
            for key in required:
                self[key]
        if not isinstance(self.value, dict):
            self.fail("an object")
        known = {*required, *optional}
        if not self.value.keys() <= known:
            other = next(key for key in self.value if key not in known)
            self.fail(f"only the keys {', '.join(sorted(known))}", f"also {quote(other)}")
        return self

    def items(self) -> dict[str, Field]:
        """Every key of an object with its value."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        return {
            str(key): Field(value, self.source, self.error, self.advice, str(key), self)
            for key, value in self.value.items()
        }

    def list(self, length: int | None = None) -> list[Field]:
        """The values of a list, of exactly `length` values where one is given."""
        if not isinstance(self.value, list):
            self.fail("a list")
        if length is not None and len(self.value) != length:
            self.fail(f"a list of {length} values", f"{len(self.value)} values")
        return [Field(item, self.source, self.error, self.advice, i, self) for i, item in enumerate(self.value)]

    def text(self, among: Collection[str] | None = None, most: int = MOST_TEXT) -> str:
        """A text of at most `most` characters, one of `among` where that is given."""
        if among is not None and (not isinstance(self.value, str) or self.value not in among):
            self.fail(f"one of {', '.join(map(repr, sorted(among)))}")
        if not isinstance(self.value, str):
            self.fail("a text")
        if len(self.value) > most:
            self.fail(f"a text of at most {most} characters", f"{len(self.value)} characters")
        if not self.value.isascii() and any("\ud800" <= character <= "\udfff" for character in self.value):
            self.fail("a text that UTF-8 can write")  # half a surrogate pair
        return self.value

    def number(self, least: float = -sys.float_info.max, most: float = sys.float_info.max) -> float:
        """A finite number between `least` and `most`, as a float."""
        value = self.value
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
            self.fail(f"a number{_describe_range(least, most)}")
        return float(value)

    def whole(self, least: int = 0, most: int = MOST_WHOLE) -> int:
        """A whole number between `least` and `most`."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.fail(f"a whole number{_describe_range(least, most)}")
        return value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fail("true or false")
        return self.value


def open_fields(path: str | Path, what: str, error: type[BadInput] = BadInput, advice: str = "") -> Field:
    """The top of a JSON file; `what` names its kind where it cannot be read."""
    return Field(read_json(path, what, error), str(path), error, advice)


def _describe_range(least: float, most: float) -> str:
    widest = most in (sys.float_info.max, MOST_WHOLE)
    if least == -sys.float_info.max:
        return "" if widest else f" of at most {most}"
    return f" of at least {least:g}" if widest else f" from {least:g} to {most:g}"


def _plain_key(key: str) -> str:
    return key if key.isidentifier() else quote(key)


def _list_keys(value: dict[str, Any]) -> str:
    return f"the keys {quote(sorted(map(str, value)), 200)}" if value else "an empty object"
