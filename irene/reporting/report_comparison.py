"""The comparison in a report: models side by side, how sure the differences are, and what has which part in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irene.model_tree.workload import describe_workload
from irene.quoting import escape_html
from irene.reporting import wording
from irene.reporting.report_sections import INTERVAL_TIP, html_table, term, write_quantity

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

_SURE_TIP = "Whether the 90 % interval of the ratio, in which shared errors cancel, leaves out one."


def comparison(predictions: Mapping[str, Prediction], compared: Mapping[str, Any] | None) -> str:
    """A table of the models; with `compared` (`Comparison.to_json()`), intervals of the differences and who makes them.

    The first model is the one that the others stand against.
    """
    base_name = next(iter(predictions))
    head = [
        "model", term("energy", INTERVAL_TIP), f"against {escape_html(base_name)}", "per sample", "per token", "time",
        "mean power",
    ]  # fmt: skip
    differences = {name: _difference(compared, base_name, name) for name in predictions}
    rows = [_row(name, predictions, differences[name]) for name in predictions]
    pairs = [found for found in differences.values() if found is not None]
    notes = "".join(f'<p class="note">{escape_html(note)}</p>' for note in (compared or {}).get("notes", ()))
    return f"""<section class="card" id="compare">
  <h2>Comparison</h2>
  {html_table(head, rows)}{notes}
  <ul class="legend parts"></ul>
  <div id="compare-bars" class="figure"></div>
  {"".join(_contributions(pair, is_open=i == 0) for i, pair in enumerate(pairs))}
</section>"""


def _row(name: str, predictions: Mapping[str, Prediction], difference: Mapping[str, Any] | None) -> list[str]:
    base_name, base = next(iter(predictions.items()))
    prediction = predictions[name]
    low, high = prediction.interval_j
    token_j, power_w = wording.energy_per_token_j(prediction), prediction.power_w
    return [
        f"{escape_html(name)}<small>{escape_html(describe_workload(prediction.tree.workload))}</small>",
        f"<strong>{write_quantity(prediction.energy_j)}</strong>"
        f"<small>{write_quantity(low)} to {write_quantity(high)}</small>",
        "" if name == base_name else _against(base, prediction, difference),
        write_quantity(wording.energy_per_sample_j(prediction)),
        "–" if token_j is None else write_quantity(token_j),
        write_quantity(prediction.duration_s, "s"),
        "–" if power_w is None else write_quantity(power_w, "W"),
    ]


def _difference(compared: Mapping[str, Any] | None, base: str, other: str) -> Mapping[str, Any] | None:
    pairs = (compared or {}).get("differences", ())
    return next((pair for pair in pairs if (pair["base"], pair["other"]) == (base, other)), None)


def _against(base: Prediction, other: Prediction, difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        ratio = other.energy_j / base.energy_j if base.energy_j > 0 else float("nan")
        return f"{ratio:.3g} times"
    low, high = difference["interval_ratio"]
    word = "differs" if difference["is_significant"] else "may be equal"
    return f"{difference['ratio']:.3g} times<small>{low:.3g} to {high:.3g}, {term(word, _SURE_TIP)}</small>"


def _contributions(difference: Mapping[str, Any], *, is_open: bool) -> str:
    """What each role has in one difference, most first; the rows add up to it."""
    parts = sorted(difference["by_role"], key=lambda part: -abs(part["difference_j"]))
    sums = {key: sum(part[key] or 0.0 for part in parts) for key in ("base_j", "other_j")}
    least_j = 1e-9 * max(sums.values())  # what rounding leaves of no difference
    rows = [
        [escape_html(part["label"].replace("_", " ")), _joules(part["base_j"]), _joules(part["other_j"]),
         _signed(part["difference_j"], least_j)]
        for part in parts
    ]  # fmt: skip
    rows.append(["all", _joules(sums["base_j"]), _joules(sums["other_j"]), _signed(difference["energy_j"], least_j)])
    base, other = escape_html(difference["base"]), escape_html(difference["other"])
    return f"""<details{" open" if is_open else ""}><summary>{other} against {base}: what makes the difference</summary>
  {html_table(["part", base, other, "difference"], rows)}</details>"""


def _joules(value: float | None) -> str:
    return "–" if value is None else write_quantity(value)


def _signed(value: float, least: float) -> str:
    number = write_quantity(value if abs(value) > least else 0.0).replace("-", "−")
    return f"<strong>{'+' if value > least else ''}{number}</strong>"
