"""What a measured row carries; every number in SI, every float field named with its unit, or a plain ratio.

`None` means not measured (never zero). The meaning of a joule is in data/README.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

SCHEMA_VERSION = 1
GPUS = "gpus"
"""The key of `frame.attrs` under which `load_rows` notes what drivers called the GPUs of all runs."""

Level = Literal["primitive", "module", "model", "generation", "decode_step"]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one call.

    `case` is the same for all repeats of one case. `families` are all families of the plan in which a primitive's
    signature occurs, joined by ','; those of random shapes carry 'grid'. `method` is 'window' (energy and time over
    one interval) or 'events' (time alone, `energy_j` is None). `weights` is 'hot' or 'cold'.
    `reference_moment` is what a reference call came after: 'start', 'load' or 'rest'.
    `busy_experts_pct` and `expert_load_deviation` say how rows were routed to experts; None without a grouped product.
    `note` says what is odd about the joules; '' where nothing is.
    `ranks` GPUs took part: joules and watts are the sum of their boards, seconds those of the slowest.
    `drawn_load_deviation` is what a replay's loads were drawn with; None where loads are equal, or a router's.
    """

    case: str
    level: Level
    name: str
    families: str
    dtype: str
    execution: str
    method: str
    duration_s: float
    weights: str = "hot"
    energy_j: float | None = None
    power_w: float | None = None
    repeat: int = 0
    reference: bool = False
    reference_moment: str = ""
    model: str = ""
    path: str = ""
    task: str = ""
    batch_size: int | None = None
    seq_len: int | None = None
    decoder_seq_len: int | None = None
    new_tokens: int = 0
    context_len: int | None = None
    cache: str = ""
    cache_len: int | None = None
    ranks: int = 1
    calls: float | None = None
    window_s: float | None = None
    ticks: int | None = None
    calls_per_replay: int = 1
    spread_pct: float | None = None
    gpu_utilization_pct: float | None = None
    memory_utilization_pct: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None
    throttle_reasons: int | None = None
    memory_used_bytes: int | None = None
    peak_memory_bytes: int | None = None
    memory_before_bytes: int | None = None
    host_cpu_pct: float | None = None
    busy_experts_pct: float | None = None
    expert_load_deviation: float | None = None
    drawn_load_deviation: float | None = None
    kernels_as_eager: bool | None = None
    attention_implementation: str = ""
    note: str = ""
    measured_at: str = ""
    collection: str = ""
    signature: str = ""
    tree: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


ROW_FIELDS = tuple(f.name for f in fields(Row))
