"""Cases by kind, each from one seed and number: options, configs, trees, predictions, bundles, tables, plans, ..."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from irene.digests import digest_bytes, digest_object
from tests.fuzz.children import Drawn
from tests.fuzz.damage import ODD_WORDS, break_text, change_value, flip_bit, write_otherwise
from tests.fuzz.judging import Case
from tests.fuzz.made import PLAN, RELU, TINY, TREE, Made
from tests.fuzz.programs import COMMAND

# What a config may say without a prediction of it being another.
_IDLE = {"initializer_range": 0.1, "bos_token_id": 3, "architectures": ["BertModel"], "hidden_dropout_prob": 0.3}
_MODELS = ("../made/tree.json", "../made/tree.json", "../made/model", "../made/prediction.json", "no-such")
_MORE = (
    "+set:hidden_act=relu",
    "+num_hidden_layers:2",
    "+no-such",
    ",batch-size=2",
    ",dtype=float32",
    ",seq-len=",
    "+",
)
_FITTING = {
    "--dtype": ["float32", "float16", "int8"], "--device": ["h200", "h100-sxm", "l4"], "--execution": ["cuda_graph"],
    "--task": ["causal-lm", "masked-lm"], "--cache": ["static"], "--carbon-intensity": ["FR", "56"],
    "--output": ["out", "a/b/out", "../made/model", "/dev/full"], "--plan": ["../made/tree.json"],
    "--format": ["table", "json", "csv", "markdown", "parquet", "perfetto", "speedscope", "irene-2021", "model-card"],
}  # fmt: skip
_RUN_THINGS = ("--measure", "--program")  # of `bench`: another program, by the clock
_NUMBERS = ["1", "2", "3", "7", "16"]  # fit everything else
What: TypeAlias = tuple[tuple[str, ...], str | None] | tuple[tuple[str, ...], str | None, str]


class Drawer:
    """Draws cases in turn: of bundles, which take ten times as long as most, a third as many."""

    def __init__(self, made: Made, seed: int) -> None:
        self.made, self.seed = made, seed
        kinds: list[tuple[str, Callable[[Random, Path], What], int]] = [
            ("options", self._options, 5), ("configs", self._configs, 2), ("trees", self._trees, 3),
            ("predictions", self._predictions, 3), ("bundles", self._bundles, 1), ("tables", self._tables, 3),
            ("plans", self._plans, 3), ("spec sheets", self._sheets, 2), ("trees of 2021", self._trees_2021, 2),
        ]  # fmt: skip
        most = max(times for _, _, times in kinds)
        self.turns = [(kind, draw) for turn in range(most) for kind, draw, times in kinds if turn < times]

    def draw(self, number: int, folder: Path) -> Drawn:
        """The case of this number, with its files in `folder`."""
        random = Random(f"{self.seed}/{number}")
        kind, draw = self.turns[number % len(self.turns)]
        folder.mkdir(parents=True, exist_ok=True)
        arguments, right, *program = draw(random, folder)
        return Drawn(Case(kind, number, arguments, right, *program), folder)

    def _options(self, draw: Random, folder: Path) -> What:
        if draw.random() < 0.15:  # nothing that changes the answer
            idle = [("--depth", "2"), ("--dtype", "float32"), ("--device", "H200"), ("--batch-size", "7")]
            pairs = [TREE[1:2], TREE[2:], *draw.sample(idle, draw.randrange(1, 4))]
            words = [word for pair in draw.sample(pairs, len(pairs)) for word in pair]
            return (TREE[0], *words), self.made.right["prediction"]
        commands = COMMAND.commands  # type: ignore[attr-defined]
        name = draw.choice(
            [known for known in (*commands, "no-such") if known != "web"]
        )  # it serves until it is stopped
        words = [name]
        options = getattr(commands.get(name), "params", [])
        known = [flag for option in options for flag in option.opts if flag[:2] == "--" and flag not in _RUN_THINGS]
        least = name == "gallery"  # without a model it takes all
        words += [_model(draw) for _ in range(max(least, draw.choice([0, 1, 1, 1, 1, 2])))]
        for _ in range(draw.randrange(4)):
            odd = draw.random() < 0.1 or not known
            flag = draw.choice(["--x", "--predictor", "--seq-len"] if odd else known)
            fitting = draw.random() < 0.7
            words += [flag, draw.choice(_FITTING.get(flag, _NUMBERS) if fitting else ODD_WORDS)]
        return tuple(word.replace("\0", "") for word in words), None

    def _configs(self, draw: Random, folder: Path) -> What:
        asked = ("config.json", "--seq-len", "8", "--format", "json")
        if draw.random() < 0.3:
            idle = {key: _IDLE[key] for key in draw.sample(list(_IDLE), draw.randrange(3))}
            (folder / "config.json").write_text(write_otherwise(TINY | idle, draw))
            return ("predict", *asked), self.made.right["config"]
        text = change_value(json.loads(json.dumps(TINY)), draw)
        (folder / "config.json").write_text(break_text(text, draw) if draw.random() < 0.2 else text)
        return (draw.choice(["predict", "tree"]), *asked), None

    def _trees(self, draw: Random, folder: Path) -> What:
        return self._saved(self.made.tree, ("predict", "explain", "tree"), draw, folder)

    def _predictions(self, draw: Random, folder: Path) -> What:
        return self._saved(self.made.prediction, ("predict", "explain", "report"), draw, folder)

    def _saved(self, data: Any, commands: tuple[str, ...], draw: Random, folder: Path) -> What:
        path = folder / "saved.json"
        if draw.random() < 0.2:
            path.write_text(write_otherwise(data, draw))
            return ("predict", path.name, "--format", "json"), self.made.right["prediction"]
        text = change_value(json.loads(json.dumps(data)), draw)
        path.write_text(break_text(text, draw) if draw.random() < 0.2 else text)
        command = draw.choice(commands)
        output = ("--output", "report.html") if command == "report" else ("--format", draw.choice(["json", "table"]))
        return (command, path.name, *output), None

    def _bundles(self, draw: Random, folder: Path) -> What:
        """Damaged, or crafted: then its digests are right again, and nobody knows the right answer."""
        bundle = folder / "bundle"
        bundle.mkdir()
        files = sorted(path for path in self.made.bundle.iterdir() if path.suffix in (".json", ".npz"))
        for path in files:
            os.symlink(path, bundle / path.name)
        chosen = draw.choice([draw.choice(files), self.made.bundle / "bundle.json"])
        content = chosen.read_bytes()
        is_main, is_crafted = chosen.name == "bundle.json", draw.random() < 0.6
        if is_main:
            content = (
                change_value(json.loads(content), draw) if is_crafted else write_otherwise(json.loads(content), draw)
            ).encode()
            content = content if is_crafted or draw.random() < 0.3 else flip_bit(content, draw)
        else:
            content = flip_bit(content, draw) if draw.random() < 0.8 else content[: draw.randrange(len(content))]
        if is_crafted:
            content = _seal(bundle, chosen.name, content)
        (bundle / chosen.name).unlink(missing_ok=True)
        (bundle / chosen.name).write_bytes(content)
        return (*TREE, "--predictor", "bundle"), None if is_crafted else self.made.right["prediction"]

    def _tables(self, draw: Random, folder: Path) -> What:
        rows = folder / "rows"
        shutil.copytree(self.made.home / "rows", rows)
        if draw.random() < 0.5:
            (rows / "rows.jsonl").unlink()
        path = draw.choice(sorted(rows.iterdir()))
        content, is_crafted = path.read_bytes(), False
        if path.name == "rows.jsonl" and draw.random() < 0.5:
            lines = content.decode().splitlines()
            record = json.loads(draw.choice(lines))
            record.pop("digest", None)
            content, is_crafted = f"{lines[0]}\n{change_value(record, draw)}\n".encode(), True
        elif path.name == "manifest.json" and draw.random() < 0.5:
            text = change_value(json.loads(content), draw)
            content, is_crafted = _sealed(text), True
        else:
            content = flip_bit(content, draw) if content else b"\0"
        path.write_bytes(content)
        if draw.random() < 0.6:
            return ("rows",), None if is_crafted else self.made.right["rows"], "rows"
        return (draw.choice(["evaluate", "train"]), "rows", "--output", "out"), None

    def _plans(self, draw: Random, folder: Path) -> What:
        case = {"call": RELU, "weights": "hot", "families": "bert", "energy": True, "dtype": "float32"}
        line = change_value(json.loads(json.dumps(case)), draw).encode() + b"\n"
        packed = gzip.compress(line, mtime=0)
        (folder / "cases.gz").write_bytes(flip_bit(packed, draw) if draw.random() < 0.2 else packed)
        text = break_text(PLAN, draw) if draw.random() < 0.5 else PLAN
        (folder / "plan.toml").write_text(text, errors="replace")
        return ("collect", "--plan", "plan.toml", "--output", "out"), None

    def _sheets(self, draw: Random, folder: Path) -> What:
        lines = self.made.sheet.splitlines()
        if draw.random() < 0.2:  # its quantities in another order
            at = lines.index("[peak_flop_per_s]")
            lines[:at] = draw.sample(lines[:at], at)
            (folder / "mine.toml").write_text("\n".join(lines))
            return (*TREE, "--device", "mine.toml"), self.made.right["sheet"]
        at = draw.randrange(len(lines))
        key, equals, value = lines[at].partition("=")
        odd = draw.choice(["0", "-1", "nan", "inf", "1e400", '"x"', "[]", "{}", "{ value = 1 }", "1979-05-27", "true"])
        way = draw.randrange(4)
        if way == 0:
            lines[at] = f"{key}{equals} {odd}"
        elif way == 1:
            lines[at] = f"{key}{equals}" + value.replace("value = ", f"value = {odd}, old = ", 1)
        elif way == 2:
            del lines[at]
        text = "\n".join(lines) + "\n"
        (folder / "mine.toml").write_text(break_text(text, draw) if way == 3 else text, errors="replace")
        return (*TREE, "--device", "mine.toml"), None

    def _trees_2021(self, draw: Random, folder: Path) -> What:
        lines = list(self.made.trees_2021)
        at = draw.randrange(len(lines))
        data = json.loads(lines[at])
        if draw.random() < 0.2:
            (folder / "trees.jsonl").write_text(
                "".join(write_otherwise(json.loads(line), draw, in_one_line=True) + "\n" for line in lines)
            )
            return ("irene-2021", "evaluate", "trees.jsonl", "../made/predicted.jsonl"), self.made.right[
                "errors of 2021"
            ]
        text = change_value(data, draw)
        lines[at] = (break_text(text, draw) if draw.random() < 0.2 else text) + "\n"
        (folder / "trees.jsonl").write_text("".join(lines), errors="replace")
        model = "../made/model-2021.json"
        if draw.random() < 0.3:
            shutil.copy(self.made.home / "trees.jsonl", folder)
            model = "model.json"
            (folder / model).write_text(
                change_value(json.loads((self.made.home / "model-2021.json").read_text()), draw)
            )
        if draw.random() < 0.3:
            return ("irene-2021", "evaluate", "../made/trees.jsonl", "trees.jsonl"), None
        return ("irene-2021", "predict", "trees.jsonl", "--model", model, "--output", "predicted.jsonl"), None


def _model(draw: Random) -> str:
    model = draw.choice(_MODELS if draw.random() < 0.8 else ODD_WORDS)
    return model + (draw.choice(_MORE) + draw.choice(["", "", *ODD_WORDS]) if draw.random() < 0.2 else "")


def _sealed(text: str) -> bytes:
    """The JSON object with the digest that fits; as it is where it is none."""
    try:
        data = json.loads(text)
        return json.dumps(data | {"digest": digest_object(data)}).encode()
    except (TypeError, ValueError):
        return text.encode()


def _seal(bundle: Path, name: str, content: bytes) -> bytes:
    """Make the digests of a bundle fit one changed file."""
    if name == "bundle.json":
        return _sealed(content.decode())
    top = json.loads((bundle / "bundle.json").read_text())
    top["files"][name] = digest_bytes(content)
    (bundle / "bundle.json").unlink()
    (bundle / "bundle.json").write_bytes(_sealed(json.dumps(top)))
    return content
