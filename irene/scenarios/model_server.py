"""A transformers model as a server, with random weights, eager, on this machine's GPU or its processor.

A reply is there when the device has done the pass. Inputs are on the device before the stream begins: what is measured
are passes, as they are predicted, and no copying.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from irene.errors import BadInput, IreneError, ProgramFailed, in_one_line
from irene.measuring import targets
from irene.model_tree.workload import Workload
from irene.scenarios.processes import read_peak_memory
from irene.scenarios.streams import Padding, Stream
from irene.tracing.inputs import build_inputs, check_positions, parameters_of

_WARM_UP_S = 0.5
_MOST_WARMED = 256  # shapes that are run once before: libraries choose and load a kernel as it is first asked for


class ModelServer:
    """A model by name, with its variants, built as it is served. Raises BadInput and its kinds, as `irene.predict`.

    `workload` says dtype, task, and lengths of a decoder; its batch and length are those of each pass.
    """

    def __init__(self, name: str, workload: Workload, *, pad_to: int = 1, rows: int = 1, seed: int = 0) -> None:
        if workload.execution != "eager":
            raise BadInput(
                f"{name}: streams are measured eager, each batch as it comes; --execution is of predictions."
            )
        self._cuda = torch.cuda.is_available()
        self._device = torch.device("cuda", 0) if self._cuda else torch.device("cpu")
        self._workload, self._padding = workload, Padding(tokens=pad_to, rows=rows)
        targets.set_precision(workload.dtype)
        before = torch.cuda.memory_allocated(self._device) if self._cuda else 0
        built = targets.build(name, workload.task, workload.dtype, self._device, seed)
        self._weights = torch.cuda.memory_allocated(self._device) - before if self._cuda else 0
        self._module, self._config = built.module, built.config
        self.name = name
        self.device = torch.cuda.get_device_name(self._device) if self._cuda else platform.machine()
        self.settings: dict[str, Any] = {
            "dtype": workload.dtype, "task": workload.task, "execution": "eager", "pad_to": pad_to,
            "attention": built.attention_implementation, "torch": torch.__version__,
        }  # fmt: skip
        self.parameters: int | None = sum(parameter.numel() for parameter in built.module.parameters())
        self.device_memory_bytes: int | None = None
        self._shapes: list[tuple[int, int]] = []
        self._tokens: list[int] = []
        self._inputs: dict[int, dict[str, torch.Tensor]] = {}

    def warm_up(self, stream: Stream) -> Stream:
        if stream.new_tokens.any():
            raise BadInput(f"{self.name}: forward passes are measured; --new-lengths is of predictions.")
        if self._module.main_input_name != "input_ids":  # pictures are of one size, whatever lengths say
            stream = replace(stream, tokens=np.zeros_like(stream.tokens))
        self._tokens = stream.tokens.tolist()
        shapes = self._shapes_of(stream)
        most_rows = int(shapes[:, 0].max())
        try:
            for tokens in np.unique(shapes[:, 1]).tolist():
                self._inputs[tokens] = self._build_inputs(most_rows, tokens)
            heaviest = shapes[np.argmax(shapes[:, 0] * np.maximum(shapes[:, 1], 1))]
            self._measure_memory(int(heaviest[0]), int(heaviest[1]))
            for rows, tokens in shapes[np.linspace(0, len(shapes) - 1, min(len(shapes), _MOST_WARMED)).astype(int)]:
                self._run(int(rows), int(tokens))
            end_s = time.monotonic() + (_WARM_UP_S if self._cuda else 0.0)
            while time.monotonic() < end_s:
                self._run(int(rows), int(tokens))
        except torch.cuda.OutOfMemoryError:
            raise BadInput(
                f"{self.name}: a batch of {most_rows} inputs does not fit into this GPU's memory; give a smaller "
                "--batch-size, or shorter inputs."
            ) from None
        return stream

    def serve(self, first: int, after: int) -> None:
        shape = self._padding.shape(after - first, max(self._tokens[first:after]))
        try:
            self._run(shape.rows, shape.tokens)
        except IreneError:
            raise
        except Exception as error:  # of any kernel of any model
            raise ProgramFailed(f"{self.name} failed at a batch of {after - first}: {in_one_line(error)}") from None

    def finish(self) -> None:
        """Nothing shows only at the end."""

    def count_words(self) -> int | None:
        """Replies are tensors."""
        return None

    def peak_host_memory_bytes(self) -> int | None:
        return read_peak_memory(os.getpid())

    def close(self) -> None:
        self._inputs.clear()
        del self._module
        if self._cuda:
            torch.cuda.empty_cache()

    def _shapes_of(self, stream: Stream) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Distinct (rows, tokens); of dynamic batches those that may come: small ones, powers of 2, the largest.

        Most batches are small, and one of a shape that no library has seen waits until a kernel is chosen for it.
        """
        if not stream.scenario.is_open:
            return np.unique(stream.shapes(self._padding)[:, :2], axis=0)
        most = min(stream.scenario.most, len(self._tokens))
        lengths = sorted({self._padding.shape(1, tokens).tokens for tokens in self._tokens})
        some = {most, *(2**i for i in range(most.bit_length()))}
        small = _MOST_WARMED // len(lengths) - len(some)
        sizes = sorted(some | set(range(1, min(small, most) + 1)))
        return np.array([(self._padding.shape(size, 1).rows, tokens) for tokens in lengths for size in sizes])

    def _build_inputs(self, rows: int, tokens: int) -> dict[str, torch.Tensor]:
        work = self._workload
        asked = Workload(
            batch_size=rows, seq_len=tokens or None, decoder_seq_len=work.decoder_seq_len, dtype=work.dtype,
            task=work.task, images=work.images,
        )  # fmt: skip
        check_positions(self._config, asked)
        main_input_name = str(self._module.main_input_name)
        return build_inputs(self._config, main_input_name, asked, self._device, takes=parameters_of(self._module))

    def _run(self, rows: int, tokens: int) -> None:
        inputs = {name: tensor[:rows] for name, tensor in self._inputs[tokens].items()}
        with torch.inference_mode():
            self._module(**inputs)
        if self._cuda:
            torch.cuda.synchronize(self._device)

    def _measure_memory(self, rows: int, tokens: int) -> None:
        """Weights, the inputs of one pass, and what it allocates at most; no workspaces, which libraries keep."""
        if not self._cuda:
            return
        self._run(rows, tokens)  # libraries take their workspaces in the first pass
        found = targets.measure_peak_memory(lambda: self._run(rows, tokens), self._device)
        own = sum(tensor[:rows].nbytes for tensor in self._inputs[tokens].values())
        self.device_memory_bytes = self._weights + own + found.peak_bytes - found.before_bytes
