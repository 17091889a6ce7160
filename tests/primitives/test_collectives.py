import pytest

from irene.errors import BadInput
from irene.primitives import count_flop, count_traffic_bytes, kind_of
from irene.primitives.call import Call, TensorSpec
from irene.primitives.collectives import exchange_of
from irene.primitives.forms import form_of
from irene.primitives.kinds import COLLECTIVES

X = TensorSpec((4, 256), (256, 1), "bfloat16")  # 2048 bytes


def call_of(name: str, ranks: int) -> Call:
    return Call(f"collective.{name}.default", (X, ranks), (), (X,))


@pytest.mark.parametrize(
    ("name", "ranks", "payload", "link", "steps"),
    [  # nccl-tests, doc/PERFORMANCE.md: bus bandwidth is what a ring's rank sends, over the time
        ("all_reduce_", 2, 2048, 2048, 2),
        ("all_reduce_", 4, 2048, 3072, 6),
        ("all_gather", 4, 8192, 6144, 3),
        ("reduce_scatter", 4, 2048, 1536, 3),
        ("all_to_all", 4, 2048, 1536, 1),
        ("broadcast_", 4, 2048, 2048, 1),
        ("send_receive_", 2, 2048, 2048, 1),
    ],
)
def test_bytes_on_the_link_are_those_of_a_ring(name: str, ranks: int, payload: int, link: float, steps: int) -> None:
    found = exchange_of(call_of(name, ranks))
    assert (found.payload_bytes, found.link_bytes, found.steps) == (payload, link, steps)


def test_all_are_one_kind_and_only_reductions_add() -> None:
    for name in COLLECTIVES:
        assert kind_of(call_of(name, 2)) == "collective"
        assert count_flop(call_of(name, 2)) == (512 if name in ("all_reduce", "reduce_scatter") else 0)
    assert count_traffic_bytes(call_of("all_reduce_", 2)) == 2 * 2048


def test_another_number_of_ranks_is_another_form() -> None:
    assert form_of(call_of("all_reduce_", 2)) != form_of(call_of("all_reduce_", 4))


@pytest.mark.parametrize("args", [(), (X,), (X, 1), (X, True), (X, 2.0), (X, 10**9), (2, X)])
def test_anything_else_is_refused(args: tuple[object, ...]) -> None:
    with pytest.raises(BadInput, match="collective"):
        exchange_of(Call("collective.all_reduce_.default", args))  # type: ignore[arg-type]
