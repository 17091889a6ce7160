"""Does a call from a file have the operands that its operator needs? Asked once, before anything is counted of it."""

from __future__ import annotations

from irene.errors import BadInput
from irene.primitives.call import Call
from irene.primitives.work import count_work
from irene.quoting import quote


def require_countable(call: Call, where: str) -> None:
    """Raise `BadInput`, beginning with `where`, for a call whose work cannot be counted: operands are missing or odd.

    >>> require_countable(Call("aten.linear.default", (1,)), "a.json: call 0")
    Traceback (most recent call last):
    ...
    irene.errors.BadInput: a.json: call 0: aten.linear.default: expected a tensor as argument 0 (input), got 1.
    """
    try:
        count_work(call)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
        raise BadInput(f"{where}, {quote(call.op)}: its operands are not those of this operator.") from None
