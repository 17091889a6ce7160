"""Whether four-bit checkpoints are unpacked by torch's operators, or inside a product by kernels that torch has not."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput, UnknownName
from irene.variants.registry import register_variant

_KNOWN = ("fused", "torch")


@register_variant("kernels", "Frantar et al., MARLIN, arXiv 2408.11743 (four-bit products that unpack as they go)")
def kernels(config: Any, of: str = "fused") -> Any:
    """Four-bit checkpoints by kernels that unpack inside the product, by bytes, flagged; 'torch': by its operators."""
    if of not in _KNOWN:
        raise UnknownName("kernels of packed weights", of, _KNOWN)
    if not any(getattr(config, name, None) for name in ("quantization_config", "compression_config")):
        raise BadInput(f"+kernels: this {config.model_type} config says nothing of quantised weights.")
    config.irene_fused_kernels = of == "fused"
    return config
