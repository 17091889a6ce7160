"""Words as small matrices, multiplied in order, beside a mean of vectors: no attention at all."""

from __future__ import annotations

from typing import Any

import torch

from irene.errors import BadInput
from irene.variants.fields import text_of
from irene.variants.registry import register_variant


class MatrixEncoder(torch.nn.Module):
    """(b, L) ids -> (b, 2 d d + c): [X_1 X_2 ... X_L ; Y_L ... Y_2 Y_1 ; mean of v_i], each from a table of its own.

    Matrices of d x d are multiplied by pairs, as their product does not ask in which order pairs come first. They
    begin near the identity (Mai et al., section 3.2), without which long products vanish.
    """

    main_input_name = "input_ids"

    def __init__(self, config: Any, size: int, vector: int, like: torch.Tensor) -> None:
        super().__init__()
        self.config, self.size = config, size
        words = text_of(config).vocab_size
        options: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
        self.forwards = torch.nn.Embedding(words, size * size, **options)
        self.backwards = torch.nn.Embedding(words, size * size, **options)
        self.vectors = torch.nn.Embedding(words, vector, **options)
        with torch.no_grad():
            for table in (self.forwards, self.backwards):
                table.weight.mul_(0.1).add_(torch.eye(size, **options).reshape(-1))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        rows, length = input_ids.shape
        shape = (rows, length, self.size, self.size)
        ahead = multiply_in_order(self.forwards(input_ids).view(shape))
        back = multiply_in_order(self.backwards(input_ids.flip(1)).view(shape))
        bag = self.vectors(input_ids).mean(dim=1)
        return torch.cat([ahead.flatten(1), back.flatten(1), bag], dim=1)


def multiply_in_order(matrices: torch.Tensor) -> torch.Tensor:
    """(b, L, d, d) -> (b, d, d): M_1 M_2 ... M_L, neighbours by neighbours.

    >>> multiply_in_order(torch.tensor([2.0, 3.0, 5.0]).view(1, 3, 1, 1)).item()
    30.0
    """
    while matrices.shape[1] > 1:
        pairs = matrices.shape[1] // 2
        left, right = matrices[:, 0 : 2 * pairs : 2], matrices[:, 1 : 2 * pairs : 2]
        matrices = torch.cat([left @ right, matrices[:, 2 * pairs :]], dim=1)
    return matrices[:, 0]


@register_variant(
    "cmow",
    "Mai et al., CBOW Is Not All You Need, arXiv 1902.06423; Galke et al., bidirectional CMOW, arXiv 2109.08449",
    of_modules=True,
)
def cmow(module: Any, size: int = 20, vector: int = 400) -> MatrixEncoder:
    """In the encoder's place: products of matrices of size x size in both directions, beside a mean of vectors."""
    if size < 1 or vector < 1:
        raise BadInput(f"+cmow: expected sizes of 1 or more, got matrices of {size} and vectors of {vector}.")
    if not isinstance(getattr(text_of(module.config), "vocab_size", None), int):
        raise BadInput(f"+cmow: {type(module).__name__} has no vocabulary.")
    return MatrixEncoder(module.config, size, vector, next(module.parameters()))
