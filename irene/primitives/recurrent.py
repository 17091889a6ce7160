"""Recurrent layers (LSTM, GRU, plain RNN) and their cells: how much they multiply, and over how many steps.

torch calls a whole layer stack at once: one call, whose matrices meet every sample at every step.
"""

from __future__ import annotations

from irene.errors import BadInput
from irene.primitives.call import Call, TensorSpec
from irene.primitives.flop import register_flop
from irene.primitives.kinds import RECURRENT, packet_of
from irene.primitives.shapes import operand


def recurrent_steps(call: Call) -> int:
    """Steps that wait for one another: the sequence, once a layer; a cell is one; 0 for every other call.

    Both directions of a layer run beside each other. Packed sequences have as many steps as batch sizes.
    """
    if packet_of(call) not in RECURRENT:
        return 0
    if call.name.endswith("_cell"):
        return 1
    layers = _integer(call, 5 if _is_packed(call) else 4, "num_layers")
    if _is_packed(call):
        return layers * operand(call, 1, "batch_sizes").numel
    x = operand(call, 0, "input")
    batch_first = call.args[8] if len(call.args) > 8 else call.kwarg("batch_first", False)
    return layers * x.shape[1 if batch_first else 0]


@register_flop(*sorted(RECURRENT))
def _count_recurrent(call: Call) -> int:
    """Every matrix (gates x hidden, inputs) meets every sample at every step, as torch's counter says."""
    x = operand(call, 0, "input")
    samples = x.numel // max(x.shape[-1], 1)
    return 2 * samples * sum(tensor.numel for tensor in _matrices(call))


def _matrices(call: Call) -> list[TensorSpec]:
    if call.name.endswith("_cell"):
        given: tuple[object, ...] = (operand(call, 2, "w_ih"), operand(call, 3, "w_hh"))
    else:
        params = call.args[3 if _is_packed(call) else 2] if len(call.args) > 2 else call.kwarg("params")
        if not isinstance(params, tuple):
            raise BadInput(f"{call.op}: expected a list of parameters, got {params!r}.")
        given = params
    return [tensor for tensor in given if isinstance(tensor, TensorSpec) and len(tensor.shape) == 2]


def _is_packed(call: Call) -> bool:
    return call.op.endswith(".data")


def _integer(call: Call, index: int, name: str) -> int:
    value = call.args[index] if len(call.args) > index else call.kwarg(name, 1)
    return value if isinstance(value, int) else 1
