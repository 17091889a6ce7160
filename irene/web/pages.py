"""The form with a question filled in, and the page that says what is wrong with one."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

from irene.hardware.devices import list_devices, load_device
from irene.reporting.report_page import read_part
from irene.tracing.bundled_models import list_bundled
from irene.version import __version__
from irene.web.question import CHOICES, MOST, MOST_CONFIG_BYTES, Question

_SIZES = {
    "batch_size": ("Batch size", "1"),
    "seq_len": ("Tokens of each input", "128"),
    "new_tokens": ("New tokens", "0: no generation"),
    "gpus": ("GPUs", "1"),
}


def form_page(question: Question, problem: str = "") -> str:
    """The form, filled in as `question` says; with a `problem` on top.

    >>> "&lt;b&gt;" in form_page(Question(model="<b>"))
    True
    """
    models = "".join(f"<option>{escape(model.name)}</option>" for model in list_bundled())
    devices = "".join(_option(name, question.device, f"{name}: {load_device(name).title}") for name in list_devices())
    choices = "".join(
        f'<label>{name.capitalize()} <select name="{name}"><option value="">default</option>'
        + "".join(_option(value, getattr(question, name), value) for value in values)
        + "</select></label>"
        for name, values in CHOICES.items()
    )
    sizes = "".join(
        f'<label>{label} <input name="{name}" type="number" min="{int(name != "new_tokens")}" max="{MOST[name]}" '
        f'placeholder="{empty}" value="{"" if getattr(question, name) is None else getattr(question, name)}"></label>'
        for name, (label, empty) in _SIZES.items()
    )
    page = resources.files("irene.web").joinpath("page", "form.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        version=__version__,
        css=read_part("report.css"),
        problem=f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else "",
        model=escape(question.model),
        variant=escape(question.variant),
        models=models,
        devices=devices,
        choices=choices,
        sizes=sizes,
        most_config=f"{MOST_CONFIG_BYTES // 1024} KiB",
    )


def _option(value: str, chosen: str, label: str) -> str:
    return f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(label)}</option>'
