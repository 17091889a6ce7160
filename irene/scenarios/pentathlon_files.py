"""A Pentathlon from the JSON that `irene bench` writes, with every value checked."""

from __future__ import annotations

from pathlib import Path

from irene.errors import BadDataset
from irene.fields import Field, open_fields
from irene.scenarios.pentathlon import METRICS, SCHEMA_VERSION, Estimate, Pentathlon
from irene.scenarios.streams import INSTANCES, Scenario

_KEYS = (
    "schema_version", "model", "scenario", "source", "device", "meter", "settings", "served_instances",
    "served_batches", "metrics", "pentathlon", "notes", "error",
)  # fmt: skip


def load_pentathlon(path: str | Path) -> Pentathlon:
    """The Pentathlon of a file that holds one entry. Raises BadDataset for what is none."""
    return read_pentathlon(open_fields(path, "Pentathlon", BadDataset, "irene bench writes such files."))


def read_pentathlon(top: Field) -> Pentathlon:
    """An entry of `irene bench --format json`, or the top of a file that holds one."""
    top.keys(_KEYS, ("footprint",))
    if top["schema_version"].whole() != SCHEMA_VERSION:
        top["schema_version"].fail(f"version {SCHEMA_VERSION}")
    given = top["scenario"].keys(("name", "instances", "batch_size", "rate_per_s", "window_s", "seed"))
    rate = given["rate_per_s"]
    published = top["pentathlon"].items()
    by_device = {
        name: None if published[f"{name}_energy"].value is None else 3.6e6 * published[f"{name}_energy"].number()
        for name in ("gpu", "cpu")
    }
    words = published["throughput_words"]
    duration = top["metrics"]["duration_s"]["value"]
    return Pentathlon(
        model=top["model"].text(),
        scenario=Scenario(
            name=given["name"].text(INSTANCES), instances=given["instances"].whole(1),
            batch_size=given["batch_size"].whole(1), rate_per_s=None if rate.value is None else rate.number(),
            window_s=given["window_s"].number(0.0), seed=given["seed"].whole(),
        ),
        source=top["source"].text(("measured", "predicted")), device=top["device"].text(), meter=top["meter"].text(),
        settings={name: value.value for name, value in top["settings"].items().items()},
        instances=top["served_instances"].whole(1), batches=top["served_batches"].whole(1),
        metrics={name: _read_estimate(top["metrics"][name]) for name in METRICS},
        output_words=None if words.value is None else round(words.number(0.0) * duration.number(0.0)),
        notes=tuple(note.text() for note in top["notes"].list()), error=top["error"].text(), by_device=by_device,
    )  # fmt: skip


def _read_estimate(field: Field) -> Estimate:
    field.keys(("value", "low", "high", "unit"))
    ends = [field[name] for name in ("value", "low", "high")]
    return Estimate(*(None if end.value is None else end.number() for end in ends))
