"""The command `irene sweep`: one model at many batch sizes, lengths and numbers of new tokens."""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import stderr_is_terminal, stdout_is_terminal, write_output
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

_LIST_HELP = "numbers 1,2,4 and ranges 64:512:64 (from, to, step)."
BatchSizes = Annotated[str, typer.Option("--batch-size", metavar="LIST", help=f"Inputs in one batch: {_LIST_HELP}")]
SeqLens = Annotated[
    str | None,
    opt.defaulting("--seq-len", metavar="LIST", help=f"Tokens in each input: {_LIST_HELP}", to="128"),
]
NewTokens = Annotated[
    str | None, opt.defaulting("--new-tokens", metavar="LIST", help=f"Tokens to generate: {_LIST_HELP}", to="0")
]
MOST = 100_000
"""Points of one sweep; above, a step of a range is rather missing."""
_BAR_AFTER_S = 1.0  # on a terminal; what is there sooner needs none


@partial(opt.takes_workload, without=("batch_size", "seq_len", "new_tokens", "context_len", "cache", "cache_len"))
def print_sweep(
    model: opt.Model,
    workload: opt.WorkloadOptions,
    device: opt.Device = DEFAULT_DEVICE,
    sm_clock_mhz: opt.SmClockMhz = None,
    card_factor: opt.CardFactor = 1.0,
    batch_size: BatchSizes = "1",
    seq_len: SeqLens = None,
    new_tokens: NewTokens = None,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Energy, time and power at many batch sizes and lengths, fast."""
    opt.require_format(file_format)
    batch_sizes = read_numbers("batch_size", batch_size)
    seq_lens = [None] if seq_len is None else read_numbers("seq_len", seq_len)
    tokens = [0] if new_tokens is None else read_numbers("new_tokens", new_tokens)
    if len(batch_sizes) * len(seq_lens) * len(tokens) > MOST:
        more = f" times {len(tokens)} numbers of tokens" if len(tokens) > 1 else ""
        raise BadInput(
            f"{len(batch_sizes)} batch sizes times {len(seq_lens)} lengths{more} are more than {MOST} points."
        )
    board = opt.read_board(device, sm_clock_mhz, card_factor)

    from tqdm import tqdm

    from irene.predictor import sweep

    points, is_watched = len(batch_sizes) * len(seq_lens) * len(tokens), stderr_is_terminal()
    with tqdm(
        total=points, unit=" point", file=sys.stderr, disable=not is_watched, delay=_BAR_AFTER_S, leave=False
    ) as bar:
        swept = sweep(
            model, batch_sizes=batch_sizes, seq_lens=seq_lens, new_tokens=tokens, dequantized=dequantized,
            predictor=predictor, progress=bar.update, **board, **workload.given,
        )  # fmt: skip
    shared = swept.workloads[0]
    workload.warn_if_not_used(shared, saved=False)
    if seq_len is not None and shared.seq_len is None and shared.decoder_seq_len is None:
        warnings.warn(f"--seq-len {seq_len} is ignored: this model's config fixes its input.", stacklevel=2)

    if file_format == "json":
        text = json.dumps(swept.to_json())
    elif file_format == "csv":
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(list(swept.rows()))
    else:
        from irene.reporting.rendering import render
        from irene.reporting.sweep_table import sweep_table

        text = render(sweep_table(swept), to_terminal=output is None and stdout_is_terminal())
    write_output(text, output)


def read_numbers(name: str, given: str) -> list[int]:
    """The whole numbers of a list like '1,2,64:256:64', each once, in the order given; both ends of a range are in it.

    Raises BadInput for anything else.

    >>> read_numbers("seq_len", "1,2,64:256:64")
    [1, 2, 64, 128, 192, 256]
    """
    numbers: dict[int, None] = {}
    for part in given.split(","):
        pieces = part.strip().split(":")
        if len(pieces) > 3 or not all(piece.strip().isdecimal() for piece in pieces):
            raise BadInput(f"{opt.flag(name)}: expected numbers like 1,2,4 or a range like 64:512:64, got {part!r}.")
        first, *rest = map(int, pieces)
        last, step = (rest[0] if rest else first), (rest[1] if len(rest) > 1 else 1)
        opt.require_at_least(name, first, 1)
        if last < first or step < 1:
            raise BadInput(f"{opt.flag(name)}: the range {part!r} is empty; expected from:to:step, from the smaller.")
        if (last - first) // step >= MOST:
            raise BadInput(f"{opt.flag(name)}: the range {part!r} has more than {MOST} numbers; give a larger step.")
        numbers.update(dict.fromkeys(range(first, last + 1, step)))
    return list(numbers)
