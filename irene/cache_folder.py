"""Where irene may keep what can be made again: the user's cache directory, by the habits of each platform."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "IRENE_CACHE_DIR"


def cache_folder() -> Path | None:
    """The folder, made or not; None where the user has no home. `IRENE_CACHE_DIR` names another.

    Linux: $XDG_CACHE_HOME or ~/.cache (the XDG Base Directory Specification); macOS: ~/Library/Caches; Windows:
    %LOCALAPPDATA%.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(os.path.expanduser(named))
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "irene"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "irene" / "Cache"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else home / ".cache") / "irene"  # a relative one is to be ignored
