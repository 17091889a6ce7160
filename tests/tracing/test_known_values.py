"""Values worked out from shapes and known inputs equal those of really running the same operators."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import irene
from irene.errors import Untraceable
from irene.tracing.known_values import FINITE, expression_of, set_value
from irene.tracing.recording import record_call

SIZE = 4


class Program(torch.nn.Module):
    """Random operators on a pool of tensors: views of one another, written in place, some of unknown value."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.pool: list[torch.Tensor] = []

    def forward(self, known: torch.Tensor, unknown: torch.Tensor) -> None:
        rng = random.Random(self.seed)
        self.pool = pool = [known, unknown]
        for _ in range(12):
            x, y = rng.choice(pool), rng.choice(pool)
            match rng.randrange(12):
                case 0:
                    pool.append(torch.arange(SIZE, device=x.device))
                case 1:
                    pool.append(x + y)
                case 2:
                    pool.append(x * 3)
                case 3:
                    x.add_(y)
                case 4:
                    x[1:].fill_(rng.randrange(9))
                case 5:
                    x[rng.randrange(SIZE)] = 7
                case 6:
                    pool.append(x.view(SIZE))
                case 7:
                    pool.append(x.flip(0))
                case 8:
                    pool.append(torch.where(x > y, x, y))
                case 9:
                    pool.extend(half.repeat(2) for half in x.chunk(2))
                case 10:
                    pool.append(torch.ones_like(x).cumsum(0))
                case 11:
                    x.copy_(y.clone())


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_what_is_known_is_right(seed: int) -> None:
    known, unknown = torch.tensor([5, 1, 4, 2]), torch.tensor([9, 3, 7, 8])
    meta = [torch.empty(SIZE, dtype=torch.int64, device="meta") for _ in range(2)]
    set_value(meta[0], known.clone())
    traced, real = Program(seed), Program(seed)
    record_call(traced, tuple(meta), {})
    with torch.inference_mode():
        real(known.clone(), unknown.clone())
    assert len(traced.pool) == len(real.pool)
    for guess, truth in zip(traced.pool, real.pool, strict=True):
        expression = expression_of(guess)
        if expression is not None:
            assert torch.equal(expression.compute(), truth)


class Asking(torch.nn.Module):
    def __init__(self, question: Any) -> None:
        super().__init__()
        self.question = question
        self.weight = torch.nn.Parameter(torch.ones(SIZE))
        self.answer: Any = None

    def forward(self, x: torch.Tensor) -> None:
        self.answer = self.question(x, self.weight)


def ask(question: Any) -> Any:
    module = Asking(question).to("meta")
    x = torch.empty(SIZE, dtype=torch.int64, device="meta")
    set_value(x, torch.full((SIZE,), 5))
    record_call(module, (x,), {})
    return module.answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (lambda x, w: bool((x == 5).all()), True),
        (lambda x, w: (x + torch.arange(SIZE, device=x.device)).max().item(), 8),
        (lambda x, w: int(torch.zeros_like(w).sum()), 0),
        (lambda x, w: x[w.argsort()].min().item(), 5),  # whichever it picks, it is a 5
        (lambda x, w: x.gather(0, w.argsort()).sum().item(), 20),
        (lambda x, w: torch.tensor([2, 3]).to(x.device).sum().item(), 5),
        (lambda x, w: torch.full((3,), 2.5, device=x.device).unbind()[1].item(), 2.5),
        (lambda x, w: bool(torch.isinf(w * 2).any() or torch.isnan(w).any()), False),
        (lambda x, w: bool(w.exp().isfinite().all()), True),
    ],
)
def test_questions_with_an_answer(question: Any, answer: Any) -> None:
    assert ask(question) == answer


def test_before_a_write_and_after() -> None:
    def question(x: torch.Tensor, _: torch.Tensor) -> tuple[int, int]:
        before = x.sum()
        x.zero_()
        return int(before.item()), int(x.sum().item())

    assert ask(question) == (20, 0)


@pytest.mark.parametrize(
    "question",
    [
        lambda x, w: (x + w).sum().item(),
        lambda x, w: bool(w.add_(x).any()),
        lambda x, w: torch.arange(SIZE, device=x.device)[w.argmax()].item(),
        lambda x, w: (x[:2].copy_(w[:2]), x.sum().item()),  # x was known, until a view of it was written to
    ],
)
def test_questions_without_an_answer(question: Any) -> None:
    with pytest.raises(Untraceable):
        ask(question)


def test_a_float16_model_that_asks_for_infinities_says_what_it_takes_for_granted() -> None:
    notes = {
        dtype: irene.trace("facebook/bart-base", seq_len=8, dtype=dtype).notes for dtype in ("float16", "bfloat16")
    }
    assert notes == {"float16": (FINITE,), "bfloat16": ()}
