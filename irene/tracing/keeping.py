"""Whether this process may keep traced trees and find them again: only one that is sure of its libraries' switches.

A process that has not imported torch and transformers is sure that nobody has set a switch of theirs. The command
`irene`, in which nobody else runs, is sure all the time, and says so with `keep_trees`.
"""

from __future__ import annotations

import sys

_LIBRARIES = ("torch", "transformers")
_said: list[bool] = []


def keep_trees(wanted: bool) -> None:
    """Say for this whole process whether trees are kept and found; unsaid, they are until a library is imported."""
    _said[:] = [wanted]


def may_keep_trees() -> bool:
    """Whether a tree that is traced now would be what any other process traces."""
    return _said[0] if _said else not any(name in sys.modules for name in _LIBRARIES)
