"""What is measured once per start of a collection: the counter, idle power and host costs, into the manifest."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from irene.dataset.journal import MANIFEST, read_manifest, write_manifest
from irene.measuring.counter import measure_counter_period, measure_idle_power
from irene.measuring.host_costs import measure_host_costs, measure_module_call
from irene.measuring.machine import Machine
from irene.measuring.plan import Plan


def note_start(directory: Path, plan: Plan, machine: Machine) -> bool:
    """Add this start to the manifest; False if the start before was on the same machine, where nothing has changed."""
    runs = _earlier_runs(directory)
    boot = _boot_id()
    if boot and runs and runs[-1].get("boot") == boot:
        return False
    asleep_w = measure_idle_power(machine.meter, 1.5)
    torch.empty(1, device=machine.device)  # from here on a context keeps the clocks up
    period_s, read_s = measure_counter_period(machine.meter)
    run = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "boot": boot,
        "counter_period_s": period_s,
        "counter_read_s": read_s,
        "idle_power_first_w": asleep_w,
        "idle_power_context_w": measure_idle_power(machine.meter, 1.5),
        "host_costs_s": measure_host_costs((c for c in plan.primitives if c.weights == "host"), machine.device),
        "module_call_s": measure_module_call(machine.device),
        **machine.describe(),
    }
    write_manifest(directory, {"collection": plan.name, "runs": [*runs, run]})
    return True


def _earlier_runs(directory: Path) -> list[dict[str, Any]]:
    if not (directory / MANIFEST).exists():
        return []
    return list(read_manifest(directory).get("runs", []))


def _boot_id() -> str:
    """Random, new at each boot: tells whether two starts ran on the same machine, and nothing else."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()[:8] if path.exists() else ""
