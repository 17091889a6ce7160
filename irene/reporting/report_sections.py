"""The parts of the report that are HTML before any script runs: headline, comparison table, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from irene import __version__
from irene.hardware.spec import load_device
from irene.reporting import wording
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Site

_INTERVAL_TIP = (
    "The true value lies in this range in nine of ten cases, judged on models that the predictor had not seen."
)
_EXECUTION_TIPS = {
    "eager": "PyTorch as it is: the GPU waits for Python where the work is small.",
    "cuda_graph": "The same kernels, captured once and replayed without the host.",
}


def hero(prediction: Prediction, site: Site | None, *, hidden: bool) -> str:
    """The answer: energy with its interval, time, power, energy per sample and token, what it goes to."""
    work = prediction.tree.workload
    device = load_device(prediction.device)
    execution = _term(work.execution, _EXECUTION_TIPS.get(work.execution, ""))
    workload = escape(wording.describe_workload(prediction)).replace(work.execution, execution)
    return f"""<section class="card hero-card"{" hidden" if hidden else ""}>
  <h1>{escape(prediction.tree.model)}</h1>
  <p class="workload">One {wording.name_of_call(prediction)}: {workload}, on one {escape(device.title)}</p>
  <div class="hero">
    {_answer(prediction)}
    <div class="tiles">{"".join(_tiles(prediction, site))}</div>
  </div>
  {_account(prediction)}
</section>"""


def _answer(prediction: Prediction) -> str:
    low, high = prediction.interval_j
    number, unit = format_quantity(prediction.energy_j, "J").split(" ")
    place = (prediction.energy_j - low) / (high - low) if high > low else 0.5
    board = _term(
        "energy", "Gross energy of the GPU board, idle power included. Host, power supply and cooling are not."
    )
    return f"""<div class="answer">
      <div class="label">{board} of one {wording.name_of_call(prediction)}</div>
      <div class="value">{number}<span class="unit">{_mu(unit)}</span></div>
      <div class="interval">
        <div class="track"><div class="dot" style="left:{place:.1%}"></div></div>
        <div class="ends"><span>{_quantity(low)}</span><span>{_term("90 % interval", _INTERVAL_TIP)}</span>
        <span>{_quantity(high)}</span></div>
      </div>
    </div>"""


def _tiles(prediction: Prediction, site: Site | None) -> Iterable[str]:
    device, power_w = load_device(prediction.device), prediction.power_w
    yield _tile("time", _quantity(prediction.duration_s, "s"), "")
    if power_w is not None:
        of_cap = f"{power_w / device.power_cap_w:.0%} of the {device.power_cap_w:g} W cap"
        yield _tile("mean power", _quantity(power_w, "W"), of_cap)
    yield _tile("per sample", _quantity(wording.energy_per_sample_j(prediction)), "energy of one input of the batch")
    token_j = wording.energy_per_token_j(prediction)
    if token_j is not None:
        new = "new token" if prediction.tree.workload.new_tokens else "input position"
        yield _tile("per token", _quantity(token_j), f"energy of one {new}")
    if site is not None:
        for what, much in wording.describe_footprint(prediction.energy_j, site):
            tip = "Energy at the site: board energy times PUE." if what == "energy" else wording.describe_site(site)
            label = {"energy": "site energy", "cost": "cost, in the price's currency"}.get(what, what)
            yield _tile(_term(label, tip), _mu(escape(much)), f"of {wording.PER_CALLS:,} calls")


def _tile(label: str, value: str, more: str) -> str:
    return (
        f'<div class="tile"><div class="label">{label}</div><div class="value">{value}</div>'
        f'<div class="more">{more}</div></div>'
    )


def _account(prediction: Prediction) -> str:
    total_j, parts = prediction.energy_j or 1.0, prediction.breakdown_j
    largest = max(parts, key=lambda part: parts[part])
    bars, items = [], []
    for part, tip in wording.PARTS.items():
        share = parts[part] / total_j
        bars.append(f'<span class="{part}" style="width:{share:.3%}"></span>')
        name = _term(part.replace("_", " "), tip)
        items.append(
            f'<li><span class="swatch {part}"></span>{name} <strong>{_quantity(parts[part])}</strong> {share:.1%}</li>'
        )
    sentence = wording.PARTS[largest]
    return f"""<p class="verdict"><strong>{parts[largest] / total_j:.0%} is {largest.replace("_", " ")}.</strong>
    {escape(sentence)}</p>
  <div class="strip" aria-hidden="true">{"".join(bars)}</div>
  <ul class="legend">{"".join(items)}</ul>"""


def tabs(names: list[str]) -> str:
    buttons = (
        f'<button type="button" role="tab" aria-selected="{"false" if i else "true"}">{escape(name)}</button>'
        for i, name in enumerate(names)
    )
    return f'<div class="tabs" role="tablist" aria-label="Model">{"".join(buttons)}</div>'


def comparison(predictions: Mapping[str, Prediction], compared: Mapping[str, Any] | None) -> str:
    """The models side by side; with `compared`, whether each differs from the first by more than the uncertainty."""
    names = list(predictions)
    base = predictions[names[0]]
    rows = []
    for name, prediction in predictions.items():
        low, high = prediction.interval_j
        token_j, power_w = wording.energy_per_token_j(prediction), prediction.power_w
        cells = [
            f"{escape(name)}<small>{escape(wording.describe_workload(prediction))}</small>",
            f"<strong>{_quantity(prediction.energy_j)}</strong><small>{_quantity(low)} to {_quantity(high)}</small>",
            "" if name == names[0] else _against(base, prediction, _difference(compared, names[0], name)),
            _quantity(wording.energy_per_sample_j(prediction)),
            "–" if token_j is None else _quantity(token_j),
            _quantity(prediction.duration_s, "s"),
            "–" if power_w is None else _quantity(power_w, "W"),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = ["model", _term("energy", _INTERVAL_TIP), f"against {escape(names[0])}", "per sample", "per token", "time"]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in (compared or {}).get("notes", ()))
    return f"""<section class="card" id="compare">
  <h2>Comparison</h2>
  <div class="scroll"><table><thead><tr>{"".join(f"<th>{title}</th>" for title in [*head, "mean power"])}</tr></thead>
  <tbody>{"".join(rows)}</tbody></table></div>{notes}
  <ul class="legend parts"></ul>
  <div id="compare-bars" class="figure"></div>
</section>"""


def _difference(compared: Mapping[str, Any] | None, base: str, other: str) -> Mapping[str, Any] | None:
    pairs = (compared or {}).get("differences", ())
    return next((pair for pair in pairs if (pair["base"], pair["other"]) == (base, other)), None)


def _against(base: Prediction, other: Prediction, difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        ratio = other.energy_j / base.energy_j if base.energy_j > 0 else float("nan")
        return f"{ratio:.3g} times"
    low, high = difference["interval_ratio"]
    word = "differs" if difference["is_significant"] else "may be equal"
    tip = "Whether the 90 % interval of the ratio, in which shared errors cancel, leaves out one."
    return f"{difference['ratio']:.3g} times<small>{low:.3g} to {high:.3g}, {_term(word, tip)}</small>"


def assumptions(predictions: Mapping[str, Prediction], site: Site | None) -> str:
    """What was counted, on what device, by which predictor, how well each part is known; what is common only once."""
    facts = {name: _facts(prediction) for name, prediction in predictions.items()}
    first, *others = facts.values()
    common = [fact for fact in first if all(fact in other for other in others)]
    parts = []
    for name, prediction in predictions.items():
        title = f"<h3>{escape(name)}</h3>" if len(predictions) > 1 else ""
        own = [fact for fact in facts[name] if fact not in common]
        parts.append(title + _known_from(prediction) + (_definitions(own) if own else ""))
    if len(predictions) > 1:
        parts.append("<h3>All of them</h3>")
    if site is not None:
        common.append(("Grams and money", escape(wording.describe_site(site))))
    return "\n".join([*parts, _definitions(common)])


def _known_from(prediction: Prediction) -> str:
    shares = [(kind, share) for kind, share in prediction.provenance_shares.items() if share > 0]
    bars = "".join(f'<span class="p-{kind}" style="width:{share:.3%}"></span>' for kind, share in shares)
    items = "".join(
        f'<li><span class="swatch p-{kind}"></span>{_term(kind, wording.PROVENANCES[kind])} {share:.1%}</li>'
        for kind, share in shares
    )
    return f"""<p class="lead">How well each joule is known:</p>
  <div class="strip thin" aria-hidden="true">{bars}</div><ul class="legend">{items}</ul>"""


def _facts(prediction: Prediction) -> list[tuple[str, str]]:
    device, tree, name = load_device(prediction.device), prediction.tree, prediction.predictor
    limits = (
        f"{device.power_cap_w:g} W cap, {_quantity(device.peak(tree.workload.dtype), 'FLOP/s')} in "
        f"{escape(tree.workload.dtype)}, {_quantity(device.hbm_bytes_per_s, 'B/s')} memory, "
        f"{device.context_idle_power_w:g} W idle with a context open"
    )
    versions = ", ".join(f"{package} {version}" for package, version in tree.versions)
    return [
        ("A joule", "Gross energy of the GPU board in steady state, idle power included. Not in it: the host, "
         "the power supply, cooling. Weights and inputs are taken as random."),
        ("Interval", escape(_INTERVAL_TIP)),
        ("Device", f"{escape(device.title)}: {limits}"),
        ("Workload", escape(wording.describe_workload(prediction))),
        ("Predictor", f"{escape(name.name)} {escape(name.version)}, trained on {escape(name.trained_on)}"),
        ("Written by", f"irene {__version__}" + (f"; model traced with {escape(versions)}" if versions else "")),
        *(("Note", escape(note)) for note in tree.notes),
    ]  # fmt: skip


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts) + "</dl>"


def _term(text: str, tip: str) -> str:
    return f'<span class="term" tabindex="0" data-tip="{escape(tip)}">{escape(text)}</span>'


def _quantity(value: float, unit: str = "J") -> str:
    return _mu(format_quantity(value, unit))


def _mu(text: str) -> str:
    """The micro sign that a page can show and a plain terminal may not."""
    return text.replace(" u", " µ") if " u" in text else ("µ" + text[1:] if text[:1] == "u" else text)
