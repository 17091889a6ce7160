"""Variants behind a name: the grammar, the registry, and every door that takes a model."""

from __future__ import annotations

from dataclasses import fields

import pytest

import irene
from irene import variants
from irene.cli.main import run
from irene.cli.predicting import read_settings
from irene.errors import BadInput, UnknownName
from irene.model_tree.workload import Workload
from irene.variants.grammar import split_variants
from irene.variants.registry import VARIANTS, register_variant

NAME = "bert-tiny"


def test_a_name_without_a_plus_is_left_alone() -> None:
    assert split_variants("org/model-1.5,x") == ("org/model-1.5,x", ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bert-tiny+layer:6", "Did you mean 'layers'"),
        ("bert-tiny+layers", "missing a required argument: 'count'"),
        ("bert-tiny+layers:6,7", "too many positional arguments"),
        ("bert-tiny+layers:deep", "count must be of type int, got 'deep'"),
        ("bert-tiny+layers:count=", r"expected '\+layers:value'"),
        ("+layers:6", "expected a model's name"),
        ("bert-tiny+mqa:1", "too many positional arguments"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        split_variants(text)


def test_a_name_is_registered_once() -> None:
    variants.load_all()
    with pytest.raises(ValueError, match="'layers' is already registered, by irene.variants.depth"):
        register_variant("layers", "nowhere")(lambda config: config)


def test_python_and_the_command_line_make_the_same_config_and_leave_the_base_alone() -> None:
    base = irene.load_config(NAME)
    before = base.to_dict()
    changed = variants.ffn(64)(variants.layers(count=1)(base))
    assert changed.to_dict() == irene.load_config(f"{NAME}+layers:1+ffn:size=64").to_dict()
    assert base.to_dict() == before and changed.num_hidden_layers == 1 and changed.intermediate_size == 64


def test_every_variant_has_a_source_a_line_and_no_parameter_that_is_a_setting() -> None:
    variants.load_all()
    settings = {field.name for field in fields(Workload)} | {"device", "predictor"}
    for name, variant in VARIANTS.items():
        assert variant.source and variant.summary.endswith("."), name
        assert not set(variant.parameters) & settings, name
        assert getattr(variants, name) is variant
    with pytest.raises(AttributeError, match="'irene variants' lists them"):
        variants.nothing  # noqa: B018


def test_settings_follow_what_belongs_to_the_variant() -> None:
    model, settings = read_settings("bert-tiny+set:hidden_act=relu,vocab_size=99,dtype=float16")
    assert (model, settings) == ("bert-tiny+set:hidden_act=relu,vocab_size=99", {"dtype": "float16"})
    with pytest.raises(UnknownName):
        read_settings("bert-tiny,hidden_act=relu")


def test_every_door_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", NAME, f"{NAME}+layers:1,seq-len=64", "--seq-len", "64", "--format", "json"]) == 0
    assert run(["sweep", f"{NAME}+layers:1", "--batch-size", "1,2", "--seq-len", "32"]) == 0
    assert run(["explain", f"{NAME}+shared"]) == 0
    assert run(["variants", "--format", "csv"]) == 0
    assert "+layers:count" in capsys.readouterr().out
    few = irene.predict(f"{NAME}+layers:1")
    assert few.tree.model == f"{NAME}+layers:1" and few.energy_j < irene.predict(NAME).energy_j


def test_an_impossible_one_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "bert-base-uncased+heads:5"]) == 2
    assert "5 heads do not divide the width 768" in capsys.readouterr().err
