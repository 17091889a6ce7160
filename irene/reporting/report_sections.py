"""The parts of the report that are HTML before any script runs: the headline of each model, tabs, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from irene import __version__
from irene.hardware.spec import load_device
from irene.reporting import wording
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Site

INTERVAL_TIP = (
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
    execution = term(work.execution, _EXECUTION_TIPS.get(work.execution, ""))
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
    board = term(
        "energy", "Gross energy of the GPU board, idle power included. Host, power supply and cooling are not."
    )
    return f"""<div class="answer">
      <div class="label">{board} of one {wording.name_of_call(prediction)}</div>
      <div class="value">{number}<span class="unit">{_mu(unit)}</span></div>
      <div class="interval">
        <div class="track"><div class="dot" style="left:{place:.1%}"></div></div>
        <div class="ends"><span>{write_quantity(low)}</span><span>{term("90 % interval", INTERVAL_TIP)}</span>
        <span>{write_quantity(high)}</span></div>
      </div>
    </div>"""


def _tiles(prediction: Prediction, site: Site | None) -> Iterable[str]:
    device, power_w = load_device(prediction.device), prediction.power_w
    yield _tile("time", write_quantity(prediction.duration_s, "s"), "")
    if power_w is not None:
        of_cap = f"{power_w / device.power_cap_w:.0%} of the {device.power_cap_w:g} W cap"
        yield _tile("mean power", write_quantity(power_w, "W"), of_cap)
    yield _tile(
        "per sample", write_quantity(wording.energy_per_sample_j(prediction)), "energy of one input of the batch"
    )
    token_j = wording.energy_per_token_j(prediction)
    if token_j is not None:
        new = "new token" if prediction.tree.workload.new_tokens else "input position"
        yield _tile("per token", write_quantity(token_j), f"energy of one {new}")
    if site is not None:
        for what, much in wording.describe_footprint(prediction.energy_j, site):
            tip = "Energy at the site: board energy times PUE." if what == "energy" else wording.describe_site(site)
            label = {"energy": "site energy", "cost": "cost, in the price's currency"}.get(what, what)
            yield _tile(term(label, tip), _mu(escape(much)), f"of {wording.PER_CALLS:,} calls")


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
        name = term(part.replace("_", " "), tip)
        much = f"<strong>{write_quantity(parts[part])}</strong> {share:.1%}"
        items.append(f'<li><span class="swatch {part}"></span>{name} {much}</li>')
    bound = prediction.values.bound[0]
    limit = f" <strong>It is {bound.replace('_', ' ')}.</strong> {escape(wording.BOUNDS[bound])}" if bound else ""
    return f"""<p class="verdict"><strong>{parts[largest] / total_j:.0%} is {largest.replace("_", " ")}.</strong>
    {escape(wording.PARTS[largest])}{limit}</p>
  <div class="strip" aria-hidden="true">{"".join(bars)}</div>
  <ul class="legend">{"".join(items)}</ul>"""


def tabs(names: list[str]) -> str:
    buttons = (
        f'<button type="button" role="tab" aria-selected="{"false" if i else "true"}">{escape(name)}</button>'
        for i, name in enumerate(names)
    )
    return f'<div class="tabs" role="tablist" aria-label="Model">{"".join(buttons)}</div>'


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
        f'<li><span class="swatch p-{kind}"></span>{term(kind, wording.PROVENANCES[kind])} {share:.1%}</li>'
        for kind, share in shares
    )
    return f"""<p class="lead">How well each joule is known:</p>
  <div class="strip thin" aria-hidden="true">{bars}</div><ul class="legend">{items}</ul>"""


def _facts(prediction: Prediction) -> list[tuple[str, str]]:
    device, tree, name = load_device(prediction.device), prediction.tree, prediction.predictor
    limits = (
        f"{device.power_cap_w:g} W cap, {write_quantity(device.peak(tree.workload.dtype), 'FLOP/s')} in "
        f"{escape(tree.workload.dtype)}, {write_quantity(device.hbm_bytes_per_s, 'B/s')} memory, "
        f"{device.context_idle_power_w:g} W idle with a context open"
    )
    versions = ", ".join(f"{package} {version}" for package, version in tree.versions)
    return [
        ("A joule", "Gross energy of the GPU board in steady state, idle power included. Not in it: the host, "
         "the power supply, cooling. Weights and inputs are taken as random."),
        ("Interval", escape(INTERVAL_TIP)),
        ("Device", f"{escape(device.title)}: {limits}"),
        ("Workload", escape(wording.describe_workload(prediction))),
        ("Predictor", f"{escape(name.name)} {escape(name.version)}, trained on {escape(name.trained_on)}"),
        ("Written by", f"irene {__version__}" + (f"; model traced with {escape(versions)}" if versions else "")),
        *(("Note", escape(note)) for note in tree.notes),
    ]  # fmt: skip


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts) + "</dl>"


def term(text: str, tip: str) -> str:
    """A word with an explanation that appears by mouse, keyboard or touch."""
    return f'<span class="term" tabindex="0" data-tip="{escape(tip)}">{escape(text)}</span>'


def write_quantity(value: float, unit: str = "J") -> str:
    """As `format_quantity`, with the micro sign.

    >>> write_quantity(2.5e-6)
    '2.5 \u00b5J'
    """
    return _mu(format_quantity(value, unit))


def _mu(text: str) -> str:
    """The micro sign that a page can show and a plain terminal may not."""
    return text.replace(" u", " µ") if " u" in text else ("µ" + text[1:] if text[:1] == "u" else text)
