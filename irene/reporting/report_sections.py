"""The parts of the report that are HTML before any script runs: the headline of each model, tabs, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.model_tree.workload import describe_workload
from irene.quoting import escape_html
from irene.reporting import wording
from irene.units import format_quantity
from irene.version import __version__

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Facility

INTERVAL_TIP = (
    "The true value lies in this range in nine of ten cases, judged on models that the predictor had not seen."
)
_EXECUTION_TIPS = {
    "eager": "PyTorch as it is: the GPU waits for Python where the work is small.",
    "cuda_graph": "The same kernels, captured once and replayed without the host.",
}


def hero(prediction: Prediction, facility: Facility | None, more: str = "", *, hidden: bool) -> str:
    """The answer: energy with its interval, time, power, energy per sample and token, what it goes to; then `more`."""
    work = prediction.tree.workload
    device = load_device(prediction.device)
    execution = term(work.execution, _EXECUTION_TIPS.get(work.execution, ""))
    workload = escape_html(describe_workload(prediction.tree.workload)).replace(work.execution, execution)
    return f"""<section class="card hero-card"{" hidden" if hidden else ""}>
  <h1>{escape_html(prediction.tree.model)}</h1>
  <p class="workload">One {wording.name_of_call(prediction)}: {workload}, on {_boards(prediction, device)}</p>
  <div class="hero">
    {_answer(prediction)}
    <div class="tiles">{"".join(_tiles(prediction, facility))}</div>
  </div>
  {_account(prediction)}{_phases(prediction)}{more}
</section>"""


def _boards(prediction: Prediction, device: DeviceSpec) -> str:
    return f"{'one' if prediction.ranks == 1 else prediction.ranks} {escape_html(device.title)}"


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


def _tiles(prediction: Prediction, facility: Facility | None) -> Iterable[str]:
    device, power_w = load_device(prediction.device), prediction.power_w
    yield _tile("time", write_quantity(prediction.duration_s, "s"), "")
    if power_w is not None:
        cap_w = prediction.ranks * device.power_cap_w
        of_cap = f"{power_w / cap_w:.0%} of the {cap_w:g} W cap" + (" of all" if prediction.ranks > 1 else "")
        yield _tile("mean power", write_quantity(power_w, "W"), of_cap)
    yield _tile(
        "per sample", write_quantity(wording.energy_per_sample_j(prediction)), "energy of one input of the batch"
    )
    token_j = wording.energy_per_token_j(prediction)
    if token_j is not None:
        new = "new token" if prediction.tree.workload.new_tokens else "input position"
        yield _tile("per token", write_quantity(token_j), f"energy of one {new}")
    if prediction.memory_bytes is not None:
        has = f"{write_quantity(device.memory_bytes, 'B')} that a GPU has"
        more = f"does not fit into the {has}" if prediction.fits is False else f"of the {has}"
        yield _tile("memory at the peak", write_quantity(prediction.memory_bytes["peak"], "B"), more)
    if facility is not None:
        for what, much in wording.describe_footprint(prediction.energy_j, facility):
            tip = "Board energy times PUE." if what == "energy" else wording.describe_facility(facility)
            label = {"energy": "facility energy", "cost": "cost, in the price's currency"}.get(what, what)
            yield _tile(term(label, tip), _mu(escape_html(much)), f"of {wording.PER_CALLS:,} calls")


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
        if part not in parts:  # one GPU has nobody to communicate with
            continue
        share = parts[part] / total_j
        bars.append(f'<span class="{part}" style="width:{share:.3%}"></span>')
        name = term(part.replace("_", " "), tip)
        much = f"<strong>{write_quantity(parts[part])}</strong> {share:.1%}"
        items.append(f'<li><span class="swatch {part}"></span>{name} {much}</li>')
    bound = prediction.values.bound[0]
    named = bound.replace("_", " ")
    limit = f" <strong>Its time is {named}.</strong> {escape_html(wording.BOUNDS[bound])}" if bound else ""
    most = f"{parts[largest] / total_j:.0%} of the joules are {largest.replace('_', ' ')}"
    return f"""<p class="verdict"><strong>{most}.</strong>
    {escape_html(wording.PARTS[largest])}{limit}</p>
  <div class="strip" aria-hidden="true">{"".join(bars)}</div>
  <ul class="legend">{"".join(items)}</ul>"""


def _phases(prediction: Prediction) -> str:
    """The phases of a generation, which add up to its energy; '' of a forward pass."""
    answers = prediction.generation
    if answers is None:
        return ""
    rows = [
        [escape_html(phase.name), f"{phase.calls:,}", f"<strong>{write_quantity(phase.energy_j)}</strong>",
         f"{phase.energy_j / (prediction.energy_j or 1.0):.1%}",
         " to ".join(map(write_quantity, phase.interval_j)), write_quantity(phase.duration_s, "s"),
         _seconds(phase.interval_s)]
        for phase in answers.phases
    ]  # fmt: skip
    step_s = answers.time_per_output_token_s
    then, token = "", write_quantity(answers.energy_per_output_token_j)
    if step_s is not None and answers.time_per_output_token_interval_s is not None:
        then = f", then one each {write_quantity(step_s, 's')} ({_seconds(answers.time_per_output_token_interval_s)})"
    joules = " to ".join(map(write_quantity, answers.energy_per_output_token_interval_j))
    first = f"{write_quantity(answers.time_to_first_token_s, 's')} ({_seconds(answers.time_to_first_token_interval_s)})"
    heads = ["phase", "calls", "energy", "share", term("90 % interval", INTERVAL_TIP), "time", "90 % interval of time"]
    return f"""<h3>Phases</h3>
  {html_table(heads, rows)}
  <p class="note">The first token comes after {first}{then}. One takes {token} ({joules}).</p>"""


def _seconds(interval: tuple[float, float]) -> str:
    return " to ".join(write_quantity(end, "s") for end in interval)


def tabs(names: list[str]) -> str:
    """A row of buttons, the first of them chosen."""
    buttons = (
        f'<button type="button" role="tab" aria-selected="{"false" if i else "true"}">{escape_html(name)}</button>'
        for i, name in enumerate(names)
    )
    return f'<div class="tabs" role="tablist" aria-label="Model">{"".join(buttons)}</div>'


def assumptions(predictions: Mapping[str, Prediction], facility: Facility | None) -> str:
    """What was counted, on what device, by which predictor, how well each part is known; what is common only once."""
    facts = {name: _facts(prediction) for name, prediction in predictions.items()}
    first, *others = facts.values()
    common = [fact for fact in first if all(fact in other for other in others)]
    parts = []
    for name, prediction in predictions.items():
        title = f"<h3>{escape_html(name)}</h3>" if len(predictions) > 1 else ""
        own = [fact for fact in facts[name] if fact not in common]
        parts.append(title + _known_from(prediction) + (_definitions(own) if own else ""))
    if len(predictions) > 1:
        parts.append("<h3>All of them</h3>")
    if facility is not None:
        common.append(("Grams and money", escape_html(wording.describe_facility(facility))))
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
        f"{escape_html(tree.workload.dtype)}, {write_quantity(device.hbm_bytes_per_s, 'B/s')} memory, "
        f"{device.context_idle_power_w:g} W idle with a context open"
    )
    versions = ", ".join(f"{package} {version}" for package, version in tree.versions)
    return [
        ("A joule", "Gross energy of the GPU board in steady state, idle power included. Not in it: the host, "
         "the power supply, cooling. Weights and inputs are taken as random."),
        ("Interval", escape_html(INTERVAL_TIP)),
        ("Device", f"{_boards(prediction, device)}: {limits}" + (", each" if prediction.ranks > 1 else "")),
        ("Workload", escape_html(describe_workload(prediction.tree.workload))),
        ("Predictor", escape_html(f"{name.name} {name.version}, trained on {name.trained_on}")),
        ("Written by", f"irene {__version__}" + (f"; model traced with {escape_html(versions)}" if versions else "")),
        *(("Note", escape_html(note)) for note in tree.notes),
    ]  # fmt: skip


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts) + "</dl>"


def term(text: str, tip: str) -> str:
    """A word with an explanation that appears by mouse, keyboard or touch."""
    return f'<span class="term" tabindex="0" data-tip="{escape_html(tip)}">{escape_html(text)}</span>'


def html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    titles = "".join(f"<th>{title}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def write_quantity(value: float, unit: str = "J") -> str:
    """As `format_quantity`, with the micro sign.

    >>> write_quantity(2.5e-6)
    '2.5 \u00b5J'
    """
    return _mu(format_quantity(value, unit))


def _mu(text: str) -> str:
    """The micro sign that a page can show and a plain terminal may not."""
    return text.replace(" u", " µ") if " u" in text else ("µ" + text[1:] if text[:1] == "u" else text)
