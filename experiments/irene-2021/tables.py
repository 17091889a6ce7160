"""From rows of errors to the tables of the README."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from irene.dataset.summary import to_markdown
from irene.irene_2021.judging import LEVELS

PUBLISHED = {
    "roberta-base": (0.71, 5.49, 6.91), "gpt2": (0.63, 14.92, 4.88), "distilbert-base-uncased": (0.60, 6.04, 19.01),
    "openai-gpt": (0.92, 14.01, 2.96), "distilgpt2": (0.64, 14.78, 2.75), "bert-base-uncased": (0.70, 5.45, 3.93),
    "overall": (0.70, 10.12, 6.74),
}  # fmt: skip
"""Device 1, leave one model out: README of github.com/StonyBrookNLP/irene, branch master."""
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


def write_readme(frames: dict[str, pd.DataFrame], readme: Path) -> None:
    """Replace every table that stands between two marks."""
    errors = frames["crossvalidation"]
    tables = {
        "reproduction": reproduction(errors),
        "ablations": ablations(errors),
        "families": families(errors),
        "ours": ours(errors),
        "ours by model": ours_by_model(errors),
        "look-up": frames["look-up"].round(2),
        "unseen lengths": frames["unseen-lengths"].round(2),
        "transfer": spread(frames["transfer"], ["source", "target", "k"]),
        "tiny-ctrl": spread(frames["tiny-ctrl"], ["device", "method"]),
        "choices": frames["choices"].round(2),
    }
    text = readme.read_text("utf-8")
    for name, table in tables.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        shown = to_markdown(table.astype(object).where(table.notna(), "-"))
        text = f"{before}{begin}\n\n{shown.rstrip()}\n\n{end}{rest.split(end)[1]}"
    readme.write_text(text, "utf-8")


def spread(errors: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean (least to largest) over seeds, a column a level."""
    groups = errors.groupby(keys, sort=False)
    columns = {}
    for level in LEVELS:
        summary = groups[level].agg(["mean", "min", "max"])
        columns[f"{level} %"] = [_range(*row) for row in summary.itertuples(index=False)]
    return pd.DataFrame(columns, index=groups.size().index).reset_index()


def reproduction(errors: pd.DataFrame) -> pd.DataFrame:
    """The paper's settings, leave one model out, beside what was published for device 1."""
    chosen = errors[(errors["variant"] == "paper") & (errors["leave_out"] == "model")]
    published = [" / ".join(f"{value:.2f}" for value in PUBLISHED[name]) for name in PUBLISHED]
    parts = [pd.DataFrame({"left out": list(PUBLISHED), "published, device 1": published}).set_index("left out")]
    for device, rows in chosen.groupby("device"):
        table = spread(rows, ["left_out"]).set_index("left_out")
        parts.append(table.rename(columns=lambda name, device=device: f"device {device}: {name}"))
    return pd.concat(parts, axis=1).rename_axis("left out").reset_index()


def ablations(errors: pd.DataFrame) -> pd.DataFrame:
    chosen = _overall(errors[(errors["method"] == "irene-2021") & (errors["leave_out"] == "model")])
    parts = []
    for device, rows in chosen.groupby("device"):
        table = spread(rows, ["variant"]).set_index("variant")
        parts.append(table.rename(columns=lambda name, device=device: f"device {device}: {name}"))
    return pd.concat(parts, axis=1).rename_axis("settings").reset_index()


def families(errors: pd.DataFrame) -> pd.DataFrame:
    """IrEne's method with a family held out: the yardstick for ours."""
    chosen = errors[(errors["method"] == "irene-2021") & (errors["leave_out"] == "family")]
    return spread(_overall(chosen), ["device", "variant"]).rename(columns={"variant": "settings"})


def ours(errors: pd.DataFrame) -> pd.DataFrame:
    chosen = errors[errors["method"] == "ours"]
    table = spread(_overall(chosen), ["device", "variant"])
    picked = chosen[chosen["chosen"].notna() & (chosen["seed"] == 0)]
    by_case = picked.groupby(["device", "variant"])["chosen"].agg(lambda names: " / ".join(sorted(set(names))))
    table["chosen on inner folds"] = [by_case[key] for key in zip(table["device"], table["variant"], strict=True)]
    return table.rename(columns={"variant": "may see"})


def ours_by_model(errors: pd.DataFrame) -> pd.DataFrame:
    chosen = errors[(errors["method"] == "ours") & (errors["variant"] == "static")]
    return spread(chosen, ["device", "left_out"])


def _overall(errors: pd.DataFrame) -> pd.DataFrame:
    return errors[errors["left_out"] == "overall"]


def _range(*values: float) -> str:
    """Mean, least and largest as text; errors of a thousand per cent and more need no decimals."""
    mean, least, largest = (f"{value:.2f}" if value < 1000 else f"{value:.0f}" for value in values)
    return mean if least == largest else f"{mean} ({least} to {largest})"
