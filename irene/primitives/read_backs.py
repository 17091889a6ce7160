"""Calls that the host waits for, and with them for all that the device has queued: values it needs, tensors it sends.

Source: torch `aten/src/ATen/native/cuda` (Nonzero.cu, Unique.cu, SummaryOps.cu, Scalar.cpp, Copy.cu) and
`native/BatchLinearAlgebra.cpp`, which asks whether a factorisation went well.
"""

from __future__ import annotations

from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import packet_of

_PACKETS = frozenset({
    "aten.item", "aten._local_scalar_dense", "aten.is_nonzero", "aten.equal", "aten.allclose", "aten.nonzero",
    "aten.nonzero_numpy", "aten.argwhere", "aten.masked_select", "aten._unique2", "aten.unique_consecutive",
    "aten.unique_dim", "aten.bincount", "aten._linalg_check_errors", "aten.linalg_inv", "aten.inverse",
    "aten.linalg_cholesky", "aten.cholesky", "aten.linalg_solve",
})  # fmt: skip
_REPEATS = ("aten.repeat_interleave.Tensor", "aten.repeat_interleave.self_Tensor")
_MOVES = frozenset({"aten.to", "aten._to_copy"})
SENDS = frozenset({  # a tensor of the host to the device, where its operand lies there
    "aten.to.device", "aten.to.dtype_layout", "aten.to.other", "aten._to_copy.default", "aten.type_as.default",
    "aten.copy_.default",
})  # fmt: skip
_PLACE_OF_NON_BLOCKING = {"aten.to.device": 3, "aten.to.other": 2}  # among the arguments


def reads_back(call: Call) -> bool:
    """Whether the host waits for a call; what a model does with numbers on the host alone is no wait.

    >>> reads_back(Call("aten.item.default", ())), reads_back(Call("aten.any.default", ()))
    (True, False)

    Sending a tensor of pageable memory ends with a wait too (`copy_kernel_cuda`), also inside `torch.tensor`.

    >>> x = TensorSpec((4,), (1,), "float32", on_host=True)
    >>> reads_back(Call("aten.to.device", (x, "device"))), reads_back(Call("aten.to.device", (x, "device", None, True)))
    (True, False)
    """
    if call.is_view:
        return False
    if any(tensor.on_host for tensor in call.tensors):
        place = _PLACE_OF_NON_BLOCKING.get(call.op, len(call.args))
        return not (call.kwarg("non_blocking") or True in call.args[place : place + 1])
    packet = packet_of(call)
    if packet in _MOVES:
        return "host" in call.args or call.kwarg("device") == "host"
    if call.op in _REPEATS:
        return call.kwarg("output_size") is None
    return packet in _PACKETS or call.op == "aten.where.default" or _takes_masked(call, packet)


def _takes_masked(call: Call, packet: str) -> bool:
    """How many entries a mask takes is data: `index` counts them first, as `nonzero` does."""
    indices = call.args[1] if packet in ("aten.index", "aten._unsafe_index") and len(call.args) > 1 else ()
    return isinstance(indices, tuple) and any(
        isinstance(index, TensorSpec) and index.dtype in ("bool", "uint8") for index in indices
    )
