"""What is measured: something that serves instances by number, whatever it is made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from irene.scenarios.streams import Stream

_WORDS = (
    "a", "batch", "of", "inputs", "waits", "until", "the", "model", "before", "it", "has", "read", "every", "word",
    "and", "then", "says", "what", "it", "found", "in", "them",
)  # fmt: skip


class Server(Protocol):
    """Something that serves. Whatever goes wrong in it is raised as ProgramFailed.

    `parameters` and `device_memory_bytes` are None where they are not known; `settings` say how it serves.
    """

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def parameters(self) -> int | None: ...
    @property
    def device_memory_bytes(self) -> int | None: ...

    def warm_up(self, stream: Stream) -> Stream:
        """Load what the stream will need and serve a little of it; the stream as this server batches it."""
        ...

    def serve(self, first: int, after: int) -> None:
        """Serve the instances from `first` up to, not with, `after`, together; returns when the reply is there."""
        ...

    def finish(self) -> None:
        """After the last reply: raises ProgramFailed for what only shows then."""
        ...

    def count_words(self) -> int | None:
        """Words of all replies since the warm-up; None where replies are no texts."""
        ...

    def peak_host_memory_bytes(self) -> int | None: ...
    def close(self) -> None: ...


def make_texts(stream: Stream) -> list[dict[str, Any]]:
    """An instance for each of a stream, {"input": so many words as it has tokens}; drawn from the scenario's seed."""
    rng = np.random.default_rng(stream.scenario.seed + 3)
    drawn = rng.integers(0, len(_WORDS), int(stream.tokens.max(initial=1)) + len(stream.tokens))
    return [
        {"input": " ".join(_WORDS[i] for i in drawn[start : start + int(length)])}
        for start, length in enumerate(stream.tokens)
    ]


def count_words(replies: list[Any]) -> int:
    """Words of some replies: texts, or objects with an `output`.

    >>> count_words(["two words", {"output": "three more words"}, 7])
    6
    """
    texts = (reply.get("output", "") if isinstance(reply, dict) else reply for reply in replies)
    return sum(len(str(text).split()) for text in texts)
