"""The `transformers` library, loaded by one thread at a time: its names load their files on first use, unguarded."""

from __future__ import annotations

import threading
from typing import Any

from irene.locks import hold_over_fork

# Held as well while the library builds a model, which switches more of its own.
LIBRARY = hold_over_fork(threading.RLock())


def load_transformers(*names: str) -> Any:
    """The library, with these of its names loaded.

    >>> load_transformers("AutoConfig").AutoConfig.__name__
    'AutoConfig'
    """
    with LIBRARY:
        import transformers

        for name in names:
            getattr(transformers, name, None)
        return transformers
