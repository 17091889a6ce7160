"""Named arrays as the bytes of one compressed file, and back: nothing is allocated that the file does not hold.

The format is NumPy's .npz. NumPy's own reader believes what a header says: an array of 10^13 numbers, or a
kilobyte that unpacks to many gigabytes. Here sizes are compared before anything is read, and pickles are refused.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NUMBERS = "biuf"  # NumPy's letters for truth values, whole numbers and floats
_MOST_BYTES = 64 * 2**20  # of all arrays of a file, unpacked: five times the largest that a regressor has


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same arrays give the same bytes.

    >>> arrays_from_bytes(arrays_to_bytes({"a": np.arange(3)}))["a"].tolist()
    [0, 1, 2]
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def arrays_from_bytes(raw: bytes) -> dict[str, NDArray[Any]]:
    """The arrays. Raises ValueError, with the reason, for anything but what `arrays_to_bytes` writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > _MOST_BYTES:
                raise ValueError(f"it unpacks to {unpacked:,} bytes, at most {_MOST_BYTES:,} are read")
            if len({member.filename.removesuffix(".npy") for member in members}) < len(members):
                raise ValueError("it has two arrays of one name")
            if any(member.compress_type not in _PACKED for member in members):
                raise ValueError("it is packed in another way than NumPy's")
            return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it does not unpack: {error}") from None


def _array(raw: bytes) -> NDArray[Any]:
    stream = io.BytesIO(raw)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is in another version of NumPy's format")
    try:
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (MemoryError, TypeError, SyntaxError) as error:  # a header of brackets in brackets
        raise ValueError(f"an array's header cannot be read ({type(error).__name__})") from None
    rest = len(raw) - stream.tell()
    fits = min(shape, default=0) >= 0 and dtype.itemsize * math.prod(shape) == rest
    if dtype.kind not in _NUMBERS or is_fortran or not fits:
        raise ValueError(f"an array of shape {shape} and type {dtype} does not fit its {rest} bytes")
    return np.frombuffer(raw, dtype, offset=stream.tell()).reshape(shape)
