"""One committed list says what an unseen family is."""

import pytest

from irene.dataset.families import family_of, listed_families, reserved_families


@pytest.mark.parametrize(
    ("family", "types"),
    [
        ("bert", "bert roberta xlm-roberta electra minilm camembert"),
        ("gpt2", "gpt2 distilgpt2"),
        ("llama", "llama mistral qwen2 smollm phi3 olmo"),
        ("gpt-neox", "gpt_neox GPT-NeoX"),
        ("gemma", "gemma gemma2 gemma3_text"),
        ("bart", "bart mbart pegasus blenderbot marian"),
        ("t5", "t5 mt5"),
        ("vit", "vit deit"),
        ("wav2vec2", "wav2vec2 hubert"),
        ("deberta", "deberta deberta-v2"),
    ],
)
def test_members(family: str, types: str) -> None:
    assert {family_of(name) for name in types.split()} == {family}


def test_twins_by_name_alone_are_apart() -> None:
    assert len({family_of(t) for t in ("phi", "phi3", "gptj", "gpt_neo", "gpt_neox", "gpt2", "openai-gpt")}) == 7


def test_what_is_not_listed_is_its_own_family() -> None:
    assert family_of("mamba2") == "mamba2"
    for name in ("", " ", "bert,llama"):
        with pytest.raises(ValueError, match="model_type"):
            family_of(name)


def test_four_families_are_reserved_and_listed() -> None:
    assert reserved_families() == {"gpt-neox", "bart", "gemma", "modernbert"}
    assert reserved_families() <= listed_families().keys()


def test_no_type_is_in_two_families_and_names_can_be_joined() -> None:
    types = [t.replace("_", "-") for members in listed_families().values() for t in members]
    assert len(types) == len(set(types))
    assert not [name for name in listed_families() if "," in name or name != name.strip()]
    # A family named like a type that another family claims would be found by neither name.
    assert {family: family_of(family) for family in listed_families()} == {f: f for f in listed_families()}
