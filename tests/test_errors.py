"""What every error of irene's does, whoever raises it: no code for a terminal in it, and a way between processes."""

import pickle

import pytest

from irene import errors
from irene.errors import BadInput, IreneError, UnknownName

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IreneError)]


def test_a_message_commands_no_terminal() -> None:
    assert str(BadInput("the field \x1b[2J of \u202eabc\nwas cut")) == "the field \\x1b[2J of \\u202eabc\nwas cut"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_from_another_process(kind: type[IreneError]) -> None:
    error = UnknownName("model", "bert-bas", ["bert-base"]) if kind is UnknownName else kind("what, where")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)
