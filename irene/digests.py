"""Digests (SHA-256): of a file's bytes, and of a JSON object that bears its own under the key `digest`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

OWN = "digest"
"""The key of an object's digest of itself."""


def digest_bytes(content: bytes) -> str:
    """64 hexadecimal digits.

    >>> digest_bytes(b"joules")[:12]
    '86f92afd2406'
    """
    return hashlib.sha256(content).hexdigest()


def digest_object(content: Mapping[str, Any]) -> str:
    """The digest of a JSON object, its own left out: the same however the file writes it.

    >>> digest_object({"a": 1, "digest": "old"}) == digest_object({"a": 1})
    True
    """
    plain = {key: value for key, value in content.items() if key != OWN}
    return digest_bytes(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
