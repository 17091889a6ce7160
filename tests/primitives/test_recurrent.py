"""Recurrent layers: FLOP by steps, against torch's own counter, and how many steps follow each other."""

from __future__ import annotations

import pytest
import torch

from irene.primitives import Call, count_flop, count_matmul_flop, count_work
from irene.primitives.recurrent import recurrent_steps

STEPS, BATCH, WIDTH, HIDDEN = 7, 3, 10, 6


def _arguments(layer: torch.nn.RNNBase, x: torch.Tensor) -> tuple[object, ...]:
    states = torch.zeros(layer.num_layers * (1 + layer.bidirectional), BATCH, layer.proj_size or HIDDEN)
    cells = torch.zeros(layer.num_layers * (1 + layer.bidirectional), BATCH, HIDDEN)
    state = [states, cells] if layer.mode == "LSTM" else states
    weights = list(layer._flat_weights)
    return (x, state, weights, layer.bias, layer.num_layers, 0.0, False, layer.bidirectional, layer.batch_first)


LAYERS = {
    "lstm": ("aten.lstm.input", torch.nn.LSTM(WIDTH, HIDDEN)),
    "lstm of two layers": ("aten.lstm.input", torch.nn.LSTM(WIDTH, HIDDEN, num_layers=2)),
    "lstm both ways, without bias": ("aten.lstm.input", torch.nn.LSTM(WIDTH, HIDDEN, bidirectional=True, bias=False)),
    "lstm that projects": ("aten.lstm.input", torch.nn.LSTM(WIDTH, HIDDEN, num_layers=2, proj_size=4)),
    "lstm, batch first": ("aten.lstm.input", torch.nn.LSTM(WIDTH, HIDDEN, batch_first=True)),
    "gru": ("aten.gru.input", torch.nn.GRU(WIDTH, HIDDEN, num_layers=2)),
    "rnn": ("aten.rnn_tanh.input", torch.nn.RNN(WIDTH, HIDDEN)),
    "rnn with relu": ("aten.rnn_relu.input", torch.nn.RNN(WIDTH, HIDDEN, nonlinearity="relu")),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_counted_as_torch_counts_their_products(name, counted):
    op, layer = LAYERS[name]
    x = torch.rand(BATCH, STEPS, WIDTH) if layer.batch_first else torch.rand(STEPS, BATCH, WIDTH)
    torch._C._set_mkldnn_enabled(False)  # its own kernel for a whole layer shows the counter no product
    try:
        call, expected = counted(op, *_arguments(layer, x))
    finally:
        torch._C._set_mkldnn_enabled(True)
    assert count_flop(call) == count_matmul_flop(call) == expected > 0
    assert recurrent_steps(call) == STEPS * layer.num_layers


def test_packed_sequences_count_their_own_steps(counted):
    layer = torch.nn.GRU(WIDTH, HIDDEN)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.rand(STEPS, BATCH, WIDTH), [7, 5, 2])
    weights = list(layer._flat_weights)
    given = (packed.data, packed.batch_sizes, torch.zeros(1, BATCH, HIDDEN), weights, True, 1, 0.0, False, False)
    call, expected = counted("aten.gru.data", *given)
    assert count_flop(call) == expected == 2 * (7 + 5 + 2) * 3 * HIDDEN * (WIDTH + HIDDEN)
    assert recurrent_steps(call) == 7


CELLS = {"lstm_cell": torch.nn.LSTMCell, "gru_cell": torch.nn.GRUCell, "rnn_tanh_cell": torch.nn.RNNCell}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_one_step(name, counted):
    cell = CELLS[name](WIDTH, HIDDEN)
    state = torch.zeros(BATCH, HIDDEN)
    given = [state, state] if name == "lstm_cell" else state
    call, expected = counted(
        f"aten.{name}.default", torch.rand(BATCH, WIDTH), given, cell.weight_ih, cell.weight_hh, cell.bias_ih,
        cell.bias_hh,
    )  # fmt: skip
    assert count_flop(call) == expected > 0
    assert recurrent_steps(call) == 1


def test_tensor_cores_do_it_and_other_calls_have_no_steps(counted, linear):
    call, expected = counted(
        "aten.gru.input", *_arguments(torch.nn.GRU(WIDTH, HIDDEN), torch.rand(STEPS, BATCH, WIDTH))
    )
    assert count_work(call).matmul_flop == expected
    assert recurrent_steps(linear(4, 4, 4)) == recurrent_steps(Call("aten.cdist.default", ())) == 0
