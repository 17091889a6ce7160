"""Layers in low precision: what they compute, what they call, what they weigh, and what cannot be packed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

import irene
from irene import variants
from irene.errors import BadInput
from irene.primitives.call import Call
from irene.primitives.kinds import kind_of, launches_kernel
from irene.variants.low_precision.by_bytes import pack_signs, unpack_signs
from irene.variants.low_precision.four_bits import _FP4, _NF4, FORMATS
from irene.variants.low_precision.weight_only import prune_two_of_four

N, K, M = 32, 256, 24
BASE = "bert-base-uncased+layers:1"


def layer(variant: Any, dtype: torch.dtype = torch.bfloat16, device: str = "cpu") -> tuple[Any, Any]:
    """A linear layer (K -> N), and what the variant makes of it."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(K, N, dtype=dtype, device=device)
    return linear, variant(torch.nn.ModuleDict({"product": linear}))["product"]


def rows(dtype: torch.dtype = torch.bfloat16, count: int = M) -> torch.Tensor:
    return torch.randn(2, count // 2, K, generator=torch.Generator().manual_seed(1)).to(dtype)


# Relative errors of random values: e4m3 has 3 bits after the point, int8 127 steps, four bits 15 or fewer.
ERRORS: dict[str, tuple[Any, float]] = {
    "fp8 row": (variants.fp8("row"), 0.05),
    "fp8 tensor": (variants.fp8("tensor"), 0.05),
    "int8 dynamic": (variants.int8("dynamic"), 0.02),
    "int8 outliers": (variants.int8("outliers"), 0.02),
    "int8 weights": (variants.int8("weights"), 0.02),
    "int8 fused": (variants.int8("fused"), 0.02),
    **{f"int4 {kind}": (variants.int4(kind), 0.2) for kind in ("gptq", "awq", "groups", "nf4", "nf4-double", "mxfp4")},
    "int4 fused": (variants.int4("nf4", kernel="fused"), 0.2),
    "lut": (variants.lut(bits=4), 0.2),
}


@pytest.mark.parametrize("name", ERRORS)
def test_they_compute_the_layer_but_for_rounding(name: str) -> None:
    variant, most = ERRORS[name]
    linear, packed = layer(variant)
    x = rows()
    with torch.inference_mode():
        exact, found = linear(x).float(), packed(x).float()
        assert found.shape == exact.shape and packed(x).dtype == torch.bfloat16
        error = float((found - exact).norm() / (exact - linear.bias.float()).norm())
    assert 0 < error < most, error


@pytest.mark.parametrize("count", [1, 8])
def test_few_rows_are_filled_up_for_int8_products(count: int) -> None:
    linear, packed = layer(variants.int8())
    x = rows()[0, :count]
    assert torch.nn.functional.cosine_similarity(packed(x).float(), linear(x).float()).min() > 0.999


@pytest.mark.parametrize(
    ("kind", "bits_a_weight"),
    [
        ("gptq", 4 + (16 + 4) / 128), ("awq", 4 + (16 + 4) / 128), ("groups", 4 + 16 / 128), ("nf4", 4 + 32 / 64),
        ("nf4-double", 4 + 8 / 64 + 32 / (64 * 256)), ("mxfp4", 4 + 8 / 32),
    ],
)  # fmt: skip
def test_packed_weights_weigh_what_their_format_says(kind: str, bits_a_weight: float) -> None:
    form, weight = FORMATS[kind], torch.randn(512, 1024, dtype=torch.bfloat16)
    parts = form.pack(weight, form.group)
    tables = {"shifts", "order", "code", "nested_code", "mean", "g_idx"}
    stored = sum(part.nbytes for name, part in parts.items() if name not in tables)
    assert 8 * stored / weight.numel() == pytest.approx(bits_a_weight, rel=1e-6)
    again = form.unpack(parts, torch.bfloat16, 512)
    again = again.t() if form.of_inputs else again
    assert float((again - weight).norm() / weight.norm()) < 0.15


def test_gptq_and_awq_lay_eight_codes_in_a_word_as_their_kernels_read_them() -> None:
    """By hand, bit by bit: input 8 i + j of GPTQ at bit 4 j; AWQ's outputs 0 2 4 6 1 3 5 7."""
    weight = torch.randint(-7, 8, (16, 128), generator=torch.Generator().manual_seed(0)).float()
    weight[:, 0], weight[:, 1] = -7, 8  # so that the scale is 1 and the zero 7
    for kind in ("gptq", "awq"):
        words = FORMATS[kind].pack(weight, 128)["qweight"]
        for inputs, outputs in ((0, 3), (13, 8), (127, 15)):
            code = int(weight[outputs, inputs]) + 7
            if kind == "gptq":
                word, place = int(words[inputs // 8, outputs]), inputs % 8
            else:
                word, place = int(words[inputs, outputs // 8]), (0, 2, 4, 6, 1, 3, 5, 7).index(outputs % 8)
            assert word >> 4 * place & 15 == code, (kind, inputs, outputs)


def test_tables_of_four_bits_are_those_of_the_formats() -> None:
    """nf4: quantiles of a normal distribution, even in both halves; mxfp4: a sign, two bits of exponent, one more."""
    assert len(_NF4) == 16 and _NF4[0] == -1 and _NF4[7] == 0 and _NF4[15] == 1 and list(_NF4) == sorted(_NF4)
    values = [
        s * (m * 0.5 if e == 0 else (1 + m * 0.5) * 2.0 ** (e - 1)) for s in (1, -1) for e in range(4) for m in (0, 1)
    ]
    assert list(_FP4) == values
    scales = FORMATS["mxfp4"].pack(torch.full((1, 32), 3.0), 32)
    assert scales["scales"].tolist() == [[126]] and FORMATS["mxfp4"].unpack(scales, torch.float32, 1)[0, 0] == 3.0


def test_binary_codes_take_the_mean_size_and_then_what_is_left() -> None:
    weight = torch.tensor([[1.0, -3.0, 2.0, 2.0, -1.0, 3.0, 2.0, -2.0]])
    signs, scales = pack_signs(weight, 2, 8)
    assert scales.flatten().tolist() == [2.0, 0.5]
    left = weight - 2 * weight.sign()
    expected = 2 * weight.sign() + 0.5 * torch.where(left >= 0, 1.0, -1.0)
    torch.testing.assert_close(unpack_signs(signs, scales, torch.float32), expected)


def test_pruning_keeps_the_two_largest_of_four() -> None:
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.1, 0.2, -0.3, 0.0]])
    kept = torch.tensor([[0.0, -4.0, 3.0, 0.0, 0.0, 0.2, -0.3, 0.0]])
    assert torch.equal(prune_two_of_four(weight), kept)


def test_a_sparse_layer_multiplies_as_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is of GPUs alone: what it gets is checked, and what becomes of its answer."""
    linear, packed = layer(variants.sparse(), torch.float32)
    dense = prune_two_of_four(linear.weight.detach())
    assert packed.packed.shape == (N, K * 9 // 16)
    monkeypatch.setattr(torch, "_cslt_sparse_mm", lambda w, x, b: dense @ x + b[:, None])
    x = rows(torch.float32, 6)
    torch.testing.assert_close(packed(x), torch.nn.functional.linear(x, dense, linear.bias))


def test_blocks_have_scales_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def product(x: Any, w: Any, xs: Any, ws: Any, *_: Any) -> Any:
        wide = x.float().view(len(x), -1, 128) * xs[..., None]
        weight = w.float() * ws.repeat_interleave(128, 0).repeat_interleave(128, 1)[:, : w.shape[1]]
        return wide.flatten(1).bfloat16() @ weight.bfloat16()

    linear, packed = layer(variants.fp8("block"))
    assert packed.scale.shape == (1, 2) and packed.weight.shape == (N, K)
    monkeypatch.setattr(torch, "_scaled_mm", product)
    x = rows()
    with torch.inference_mode():
        assert float((packed(x) - linear(x)).norm() / linear(x).norm()) < 0.1


def calls(variant: str, **workload: Any) -> list[Call]:
    leaves = irene.trace(BASE + variant, seq_len=32, **workload).root.leaves
    return [leaf.call for leaf in leaves if leaf.call is not None and launches_kernel(leaf.call)]


PROGRAMS = {
    "+fp8": "_scaled_mm", "+fp8:block": "_scaled_mm", "+int8": "_int_mm", "+int8:outliers": "_int_mm",
    "+int8:fused": "_weight_int8pack_mm", "+int4:torch": "_weight_int4pack_mm", "+sparse": "_cslt_sparse_mm",
    "+int4:kernel=fused": "four_bit_linear", "+lut": "lut_linear", "+int4": "matmul", "+int4:nf4": "linear",
    "+int8:weights": "linear",
}  # fmt: skip


@pytest.mark.parametrize("variant", PROGRAMS)
def test_each_calls_the_operator_that_is_named(variant: str) -> None:
    """Six products in a layer of BERT, and the pooler's."""
    names = Counter(call.name for call in calls(variant))
    assert names[PROGRAMS[variant]] == 7 and (names["linear"] == 0 or PROGRAMS[variant] == "linear")


def test_scales_are_those_that_were_asked_for() -> None:
    for scales, shape in (("tensor", ()), ("row", (32, 1)), ("block", (32, 6))):
        product = next(call for call in calls(f"+fp8:{scales}") if call.name == "_scaled_mm")
        assert product.tensors[2].shape == shape and product.tensors[0].dtype == "float8_e4m3fn"
    static = Counter(call.name for call in calls("+fp8:scales=tensor,activations=static"))
    assert static["amax"] == 0 and static["_scaled_mm"] == 7


def test_what_no_row_is_of_is_flagged_and_wide() -> None:
    fused, dequantised = (irene.predict(f"{BASE}+int4:kernel={kernel}") for kernel in ("fused", "dequantise"))
    assert fused.provenance_shares["fallback"] > 0 and dequantised.provenance_shares["fallback"] == 0
    widths = [p.interval_j[1] / p.energy_j for p in (fused, dequantised)]
    assert widths[0] > widths[1]


def test_heads_adapters_and_routers_stay_wide() -> None:
    from irene.tracing.building import build_model

    def types(name: str, task: str = "base") -> Counter[str]:
        module = build_model(irene.load_config(name), task, torch.bfloat16, "meta")
        return Counter(type(part).__name__ for part in module.modules() if "Linear" in type(part).__name__)

    tiny = "bert-tiny+layers:2"
    assert types(f"{tiny}+fp8", "sequence-classification") == {"Float8Linear": 13, "Linear": 1}
    assert types(f"{tiny}+int8", "masked-lm")["Linear"] == 2
    assert types("gpt2+layers:2+int8", "causal-lm") == {"Int8Linear": 8, "Linear": 1}
    assert types(f"{tiny}+int8+lora") == types(f"{tiny}+lora+int8") == {"Int8Linear": 13, "Linear": 8}
    assert types(f"{tiny}+moe:experts=32+fp8")["Linear"] == 1, "the router's"


def test_weights_in_memory_are_the_packed_ones() -> None:
    names = ("+layers:2", "+layers:2+fp8", "+layers:2+int4:nf4")
    weights = [irene.trace("bert-base-uncased" + name, seq_len=8).memory for name in names]
    assert all(weights)
    dense, fp8, nf4 = (memory.weights for memory in weights if memory)
    products = 2 * (4 * 768 * 768 + 2 * 768 * 3072) + 768 * 768
    assert dense - fp8 == pytest.approx(products, rel=0.01)
    assert dense - nf4 == pytest.approx(products * (2 - 4.5 / 8), rel=0.01)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bert-tiny+set:intermediate_size=511+int4", "a layer of 511"),
        ("bert-tiny+set:intermediate_size=520+fp8", "multiples of 16"),
        ("bert-tiny+int4:group=48", "multiples of 48"),
        ("bert-tiny+int4:group=-1", "1 input or more"),
        ("bert-tiny+fp8:scales=row,activations=static", "one scale a tensor"),
        ("bert-tiny+int8:outliers=0", "1 outlier or more"),
        ("bert-tiny+lut:bits=9", "1 to 8 bits"),
        ("bert-tiny+cmow+sparse", "no linear layer that could be replaced"),
        ("bert-tiny+kernels:fused", "says nothing of quantised weights"),
        ("bert-tiny+fp8:channel", "block, row, tensor"),
    ],
)
def test_what_cannot_be_packed_is_said(name: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        irene.trace(name)


@pytest.mark.parametrize("variant", ["fp8", "fp8:scales=block", "int8", "int4", "sparse"])
def test_gpt2_turns_its_weights_over(variant: str) -> None:
    """Conv1D keeps (in, out); every kernel gets the (out, in) of a linear layer, or refuses the call."""
    found = irene.predict(f"gpt2+layers:1+{variant}", batch_size=2, seq_len=32)
    products = [leaf.call for leaf in found.tree.root.leaves if leaf.call and kind_of(leaf.call) == "gemm"]
    assert len(products) == 4 and found.energy_j > 0
