"""`REVISION:PATH.json` as a MODEL: a config as git knows it, `main:config.json`, without checking anything out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from irene.errors import BadConfig, BadInput
from irene.files import MOST_BYTES, parse_json
from irene.quoting import quote

_LONGEST_S = 60.0
# A revision begins with no dash (git would take it for an option), and a variant's value has a '+' before its colon.
_REVISION = re.compile(r"(?P<revision>[^-+:\s][^+:\s]*):(?P<path>[^+:]+\.json)")


def names_revision(model: str) -> bool:
    r"""Whether MODEL is `REVISION:PATH.json`, and no file of that name.

    >>> names_revision("main:config.json"), names_revision("bert-tiny+layers:6"), names_revision(r"C:\\a\\config.json")
    (True, False, False)
    """
    drive = os.path.splitdrive(model)[0] or re.match(r"[A-Za-z]:[\\/]", model)
    return bool(_REVISION.fullmatch(model)) and not drive and not os.path.exists(model)


def read_revision(model: str) -> Any:
    """What `read_model` would say of the file as it is in that revision of the repository around the current folder.

    PATH begins in the current folder, as every other path. Raises BadInput without git or a repository, BadConfig for
    a revision or a file that is not there.
    """
    from irene.model_tree.model_files import ModelFile
    from irene.predictor.prediction_files import is_prediction, prediction_from_json
    from irene.tracing.sources import read_named

    revision, _, path = model.partition(":")
    name = f"{revision}:{path if path.startswith('/') else f'./{path}'}"
    try:
        done = subprocess.run(
            ["git", "cat-file", "blob", name],
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise BadInput(f"{quote(model)} is a file in git, and there is no git here. Name a file.") from None
    except subprocess.TimeoutExpired:
        raise BadInput(f"{quote(model)}: git did not answer within {_LONGEST_S:.0f} s.") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").removeprefix("fatal: ").split())
        raise BadConfig(f"{quote(model)}: git has no such file: {said[:200]}.")
    if len(done.stdout) > MOST_BYTES:
        raise BadConfig(f"{quote(model)} has more than {MOST_BYTES / 1e6:.0f} MB. Is it the right file?")
    content = parse_json(done.stdout.decode("utf-8-sig", "replace"), quote(model), BadConfig)
    if is_prediction(content):
        return prediction_from_json(content, model)
    return read_named(model, ModelFile(Path(model), content))
