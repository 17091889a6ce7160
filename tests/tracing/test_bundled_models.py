"""The bundled models: every entry is sourced, builds, and has as many parameters as its source says."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from irene.errors import BadConfig
from irene.tracing.bundled_models import (
    BundledModel,
    find_bundled,
    known_names,
    list_bundled,
)
from tests.tracing.published_counts import PUBLISHED_COUNTS, count_parameters

MODELS = list_bundled()
PUBLISHED = [model for model in MODELS if model.published_parameters is not None]


def by_name(model: BundledModel) -> str:
    return model.name


def bundled(name: str) -> BundledModel:
    model = find_bundled(name)
    assert model is not None, name
    return model


def test_list_is_sorted_and_the_same_object_each_time() -> None:
    assert [m.name.lower() for m in MODELS] == sorted(m.name.lower() for m in MODELS)
    assert list_bundled() is MODELS


def test_every_name_and_alias_is_unique_without_regard_to_case() -> None:
    spellings = Counter(spelling.lower() for m in MODELS for spelling in (m.name, *m.aliases))
    assert [spelling for spelling, n in spellings.items() if n > 1] == []
    assert len(known_names()) == len(spellings)


@pytest.mark.parametrize("model", MODELS, ids=by_name)
def test_every_entry_says_where_it_comes_from(model: BundledModel) -> None:
    assert model.source.strip()
    assert (model.published_parameters is None) == (model.published_source is None)
    assert model.published_counts in PUBLISHED_COUNTS
    assert 0 <= model.published_precision <= 0.51 * (model.published_parameters or 0)


@pytest.mark.parametrize("model", MODELS, ids=by_name)
def test_every_config_builds_and_keeps_what_the_entry_says(model: BundledModel) -> None:
    config = model.build_config()
    assert config.model_type == model.model_type
    assert config.architectures == [model.architecture]
    for key in model.unset:
        assert getattr(config, key) is None
    for key, expected in model.config.items():
        if model.model_type == "t5" and key == "tie_word_embeddings":
            # transformers 5 always ties T5; the checkpoint's False only switches the output scaling off.
            assert config.scale_decoder_outputs is expected
        elif isinstance(expected, (int, float, str)):
            assert getattr(config, key) == expected, key


@pytest.mark.parametrize("model", MODELS, ids=by_name)
def test_every_config_argument_is_one_that_the_class_knows(model: BundledModel) -> None:
    # transformers keeps unknown arguments silently, so a misspelt hyper-parameter would fall back to its default.
    from transformers import AutoConfig

    default = AutoConfig.for_model(model.model_type)
    unknown = [
        key for key in (*model.config, *model.unset) if not hasattr(default, key) and key != "quantization_config"
    ]
    # These the modelling code reads with getattr, without declaring them in the config class.
    undeclared = {"deberta-v2": {"position_buckets", "norm_rel_ebd", "share_att_key"}, "qwen3_moe": {"head_dim"}}
    assert set(unknown) <= undeclared.get(model.model_type, set())


@pytest.mark.parametrize("model", PUBLISHED, ids=by_name)
def test_parameters_equal_what_was_published(model: BundledModel) -> None:
    assert model.published_parameters is not None
    counted = count_parameters(model, model.published_counts)
    assert counted == pytest.approx(model.published_parameters, rel=0, abs=model.published_precision)


def test_most_published_counts_are_exact() -> None:
    # A rounded total lets a wrong detail pass; papers on backbones print no other.
    assert sum(model.published_precision == 0 for model in PUBLISHED) > len(MODELS) / 2


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
        ("BERT-Base-Uncased", "google-bert/bert-base-uncased"),
        ("gpt2", "openai-community/gpt2"),
        ("llama-3.2-1b", "meta-llama/Llama-3.2-1B"),
        (" meta-llama/Meta-Llama-3.1-8B ", "meta-llama/Llama-3.1-8B"),
        ("vit-base-patch16-224", "google/vit-base-patch16-224"),
    ],
)
def test_finds_names_aliases_and_short_names(spelling: str, name: str) -> None:
    assert bundled(spelling).name == name


def test_unknown_and_empty_names_find_nothing() -> None:
    assert find_bundled("bert-bas-uncased") is None
    assert find_bundled("") is None
    assert find_bundled("google-bert/") is None


def test_each_way_of_counting_counts_what_it_says() -> None:
    gpt2 = bundled("gpt2")
    total, embeddings = 124_439_808, 50_257 * 768
    assert count_parameters(gpt2, "checkpoint") == total
    assert count_parameters(gpt2, "base") == total  # its head is the input embedding
    assert count_parameters(gpt2, "untied-head") == total + embeddings
    assert count_parameters(gpt2, "non-embedding") == total - embeddings - 1_024 * 768
    # Pythia's head is a matrix of its own; its authors print this total without both.
    assert count_parameters(bundled("pythia-160m"), "non-embedding") == 85_056_000
    # Pegasus keeps two tables of 1,024 sinusoidal positions among its parameters.
    pegasus = bundled("pegasus-large")
    assert count_parameters(pegasus, "checkpoint") - count_parameters(pegasus, "learned") == 2 * 1_024 * 1_024


def test_building_a_config_leaves_the_entry_alone() -> None:
    llama = bundled("Llama-3.1-8B")
    before = repr(llama.config)
    llama.build_config().rope_parameters["factor"] = 99.0
    assert repr(llama.config) == before
    assert llama.build_config().rope_parameters["factor"] == 8.0


def test_unset_arguments_override_the_class_default() -> None:
    # The class of Mistral has a window of 4,096 tokens by default; version 0.3 of the model has none.
    assert bundled("Mistral-7B-v0.1").build_config().sliding_window == 4096
    assert bundled("Mistral-7B-v0.3").build_config().sliding_window is None


def test_a_model_type_that_transformers_does_not_know_is_a_clear_error() -> None:
    with pytest.raises(BadConfig, match="Upgrade transformers"):
        replace(bundled("gpt2"), model_type="no-such-type").build_config()


def test_names_need_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from irene.tracing.bundled_models import find_bundled, known_names, list_bundled; "
        "assert list_bundled() and known_names() and find_bundled('gpt2'); "
        "assert not {'torch', 'transformers'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
