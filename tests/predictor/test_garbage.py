"""Garbage is not collected while a prediction or an explanation is made, and is again afterwards, come what may."""

from __future__ import annotations

import gc

import pytest

import irene
from irene.errors import BadInput
from irene.predictor import entry


@pytest.mark.parametrize("ask", [irene.predict, irene.explain])
def test_collections_are_off_around_a_question(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    trace_or_find = entry.trace_or_find

    def watch(*given):
        seen.append(gc.isenabled())
        return trace_or_find(*given)

    monkeypatch.setattr(entry, "trace_or_find", watch)
    assert gc.isenabled()
    ask("bert-tiny", seq_len=8)
    assert seen == [False] and gc.isenabled()


@pytest.mark.parametrize("was_on", [True, False])
def test_what_was_set_before_is_set_again_after_an_error(was_on: bool) -> None:
    try:
        gc.enable() if was_on else gc.disable()
        with pytest.raises(BadInput):
            irene.predict("bert-tiny", seq_len=8, task="no task")
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
