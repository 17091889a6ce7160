"""The form of a call: operator and layout, whatever the sizes."""

from __future__ import annotations

import pytest
import torch

from irene.primitives.call import Call
from irene.primitives.forms import form_of
from tests.primitives.conftest import describe


def _call(op: str, *tensors: torch.Tensor, **kwargs: object) -> Call:
    namespace, name, overload = op.split(".")
    output = getattr(getattr(getattr(torch.ops, namespace), name), overload)(*tensors, **kwargs)
    named = tuple((key, describe(value)) for key, value in kwargs.items())
    return Call(op, tuple(describe(tensor) for tensor in tensors), named, (describe(output),))


X, SQUARE = torch.zeros(4, 6, 8), torch.zeros(8, 8)
IMAGE = torch.zeros(2, 4, 9, 9)
FORMS = {
    "aten.linear nt": _call("aten.linear.default", X, SQUARE),
    "aten.linear nn": _call("aten.linear.default", X, SQUARE.t()),
    "aten.mm tn": _call("aten.mm.default", SQUARE.t(), SQUARE),
    "aten.gelu dense": _call("aten.gelu.default", X.transpose(0, 1)),
    "aten.gelu strided": _call("aten.gelu.default", X[:, ::2]),
    "aten.add dense": _call("aten.add.Tensor", X, torch.zeros(8).expand(6, 8)),
    "aten.mul dense complex": _call("aten.mul.Tensor", SQUARE.to(torch.complex64), SQUARE.to(torch.complex64)),
    "aten.conv2d 2d dense": _call("aten.conv2d.default", IMAGE, torch.zeros(4, 4, 3, 3)),
    "aten.conv2d 2d dense of one tap": _call("aten.conv2d.default", IMAGE, torch.zeros(4, 4, 1, 1)),
    "aten.conv2d 2d dense of patches": _call("aten.conv2d.default", IMAGE, torch.zeros(4, 4, 2, 2), stride=[2, 2]),
    "aten.conv2d 2d depthwise": _call("aten.conv2d.default", IMAGE, torch.zeros(4, 1, 3, 3), groups=4),
    "aten.conv2d 2d grouped": _call("aten.conv2d.default", IMAGE, torch.zeros(4, 2, 3, 3), groups=2),
    "aten.conv2d 2d dense channels last": _call(
        "aten.conv2d.default", IMAGE.to(memory_format=torch.channels_last), torch.zeros(4, 4, 3, 3)
    ),
    "aten.conv_transpose2d 2d dense transposed": _call("aten.conv_transpose2d.input", IMAGE, torch.zeros(4, 4, 3, 3)),
    "aten.scaled_dot_product_attention efficient": _call(
        "aten.scaled_dot_product_attention.default", IMAGE[..., :8], IMAGE[..., :8], IMAGE[..., :8]
    ),
}


def test_one_stride_in_a_list_is_of_all_dimensions() -> None:
    patches = _call("aten.conv2d.default", IMAGE, torch.zeros(4, 4, 2, 2), stride=[2])
    assert form_of(patches) == "aten.conv2d 2d dense of patches"


@pytest.mark.parametrize("form", FORMS)
def test_operator_and_layout(form: str) -> None:
    assert form_of(FORMS[form]) == form
