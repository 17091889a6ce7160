"""An example or two of every command, as its help ends with them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "predict": (
        "irene predict bert-base-uncased --batch-size 8 --seq-len 128",
        "irene predict gpt2 --task text-generation --seq-len 64 --new-tokens 8",
    ),
    "explain": ("irene explain bert-base-uncased --batch-size 8",),
    "compare": (
        "irene compare gpt2 gpt2,execution=cuda_graph --batch-size 8",
        "irene compare bert-base-uncased bert-base-uncased+layers:6 --fail-above 5%",
    ),
    "sweep": ("irene sweep gpt2 --batch-size 1,2,4 --seq-len 128:512:128",),
    "bench": ("irene bench bert-tiny bert-mini --scenario poisson_batch --instances 64",),
    "report": ("irene report bert-base-uncased gpt2 --output report.html",),
    "gallery": ("irene gallery gpt2 bert-base-uncased --output gallery",),
    "web": ("irene web --port 8000",),
    "tree": ("irene tree bert-base-uncased --depth 2",),
    "models": ("irene models --format csv",),
    "devices": ("irene devices",),
    "variants": ("irene variants",),
    "env": ("irene env",),
    "collect": ("irene collect --plan plan.toml --output rows",),
    "calibrate": ("irene calibrate --device a100-sxm-80gb --simulate --output my-gpu",),
    "train": ("irene train rows --output my-gpu",),
    "evaluate": ("irene evaluate rows",),
    "irene-2021 train": ("irene irene-2021 train trees.jsonl --output fitted.json",),
    "irene-2021 predict": ("irene irene-2021 predict trees.jsonl --model fitted.json --output predicted.jsonl",),
    "irene-2021 evaluate": ("irene irene-2021 evaluate trees.jsonl predicted.jsonl",),
    "irene-2021 crossvalidate": ("irene irene-2021 crossvalidate trees.jsonl --leave-out family",),
}


def example_of(command: str) -> str | None:
    """The end of a command's help, whose lines click leaves as they are (a line of one backspace says so).

    None for a command without one.

    >>> example_of("devices").splitlines()[1:]
    ['Example:', '  irene devices']
    """
    lines = EXAMPLES.get(command)
    if not lines:
        return None
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
