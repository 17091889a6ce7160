"""Questions from strangers: what is known is read, anything else is refused by name, and a link asks the same again."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irene.errors import BadInput, UnknownName
from irene.web.question import MOST, MOST_CONFIG_BYTES, Question, read_question


def test_a_link_asks_the_same_question() -> None:
    asked = {"model": "gpt2", "variant": "layers:6", "device": "a100-sxm-80gb", "batch_size": "8", "dtype": "float32"}
    question = read_question(asked)
    assert question.settings == {"batch_size": 8, "dtype": "float32"}
    assert dict(parse_qsl(question.to_query())) == asked
    assert read_question(dict(parse_qsl(question.to_query()))) == question


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"modle": "gpt2"}, "Did you mean 'model'"),
        ({"model": "gpt-2x"}, "Or send its config.json"),
        ({"model": "/etc/passwd"}, "Unknown model"),
        ({"model": "../gpt2/config.json"}, "Unknown model"),
        ({"model": "some/hub-model"}, "Unknown model"),
        ({}, "got neither"),
        ({"model": "gpt2", "device": "my-gpu.toml"}, "Unknown device"),
        ({"model": "gpt2", "dtype": "float8"}, "Unknown dtype"),
        ({"model": "gpt2", "batch_size": "0"}, "from 1 to"),
        ({"model": "gpt2", "batch_size": "-1"}, "from 1 to"),
        ({"model": "gpt2", "batch_size": "٣"}, "from 1 to"),
        ({"model": "gpt2", "seq_len": "9" * 5000}, "at most 400 characters"),
        ({"model": "gpt2", "gpus": str(MOST["gpus"] + 1)}, "from 1 to 8"),
        ({"model": "gpt2", "variant": "x" * 401}, "at most 400 characters"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_question(given)


def test_a_config_has_a_largest_size_and_is_text() -> None:
    assert read_question({}, b"{}").config == "{}"
    for content in (b"x" * (MOST_CONFIG_BYTES + 1), b"\xff\xfe"):
        with pytest.raises(BadInput, match="config: expected a config.json"):
            read_question({}, content)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])  # a machine may be busy
@given(st.dictionaries(st.sampled_from(["model", "variant", "device", "batch_size", "task"]), st.text(max_size=30)))
def test_any_text_is_a_question_or_one_line(asked: dict[str, str]) -> None:
    try:
        assert isinstance(read_question(asked), Question)
    except UnknownName as problem:
        assert "\n" not in str(problem)
    except BadInput as problem:
        assert "expected" in str(problem)
