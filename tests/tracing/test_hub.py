"""A Hugging Face id: what the Hub says becomes one message each, soon, and no code of a repository is run."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest

from irene.errors import BadInput, UnknownName
from irene.tracing import hub, trace
from irene.tracing.sources import load_config
from tests.tracing.tiny_models import tiny_config

ANSWERS = {
    "org/gated": (403, "GatedRepo"),
    "org/secret": (401, "RepoNotFound"),
    "org/bert-bas-uncased": (404, "RepoNotFound"),
    "org/weights-only": (404, "EntryNotFound"),
    "org/broken": (503, ""),
}


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does, by the table."""

    def do_HEAD(self) -> None:
        status, code = ANSWERS["/".join(self.path.split("/")[1:3])]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    huggingface_hub.close_session()  # a client that was made offline stays so
    yield monkeypatch
    huggingface_hub.close_session()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("org/gated", "is gated: ask for access at http.*/org/gated and log in"),
        ("org/secret", "Unknown model .* or it is private: log in"),
        ("org/bert-bas-uncased", "Unknown model .* Did you mean .*bert.*uncased"),
        ("org/weights-only", "has no config.json"),
        ("org/broken", r"cannot be reached \(503\)"),
    ],
)
def test_what_the_hub_answers(online: pytest.MonkeyPatch, name: str, words: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    online.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    level = logging.getLogger("huggingface_hub").level
    try:
        with pytest.raises(BadInput, match=words):
            load_config(name)
    finally:
        server.shutdown()
        server.server_close()
    assert logging.getLogger("huggingface_hub").level == level  # what it logs is for its own user to choose


def test_a_silent_hub_is_given_up_soon(online: pytest.MonkeyPatch) -> None:
    assert hub.WAIT_S <= 4  # and an error is there within five seconds
    online.setattr(hub, "WAIT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        online.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start_s = time.monotonic()
        with pytest.raises(BadInput, match="cannot be reached"):
            load_config("org/model")
        assert time.monotonic() - start_s < 15


def test_offline_is_said(online: pytest.MonkeyPatch) -> None:
    online.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnknownName, match="HF_HUB_OFFLINE=1 keeps others out of reach"):
        load_config("org/model")


@pytest.mark.parametrize("is_cached", [True, False])
def test_code_of_a_repository_is_never_run(online: pytest.MonkeyPatch, tmp_path: Path, is_cached: bool) -> None:
    online.setenv("HF_HUB_OFFLINE", "1")
    online.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run code"))
    folder = tmp_path / "models--org--model" / "snapshots" / ("0" * 40) if is_cached else tmp_path / "model"
    folder.mkdir(parents=True)
    if is_cached:
        (tmp_path / "models--org--model" / "refs").mkdir()
        (tmp_path / "models--org--model" / "refs" / "main").write_text("0" * 40)
    auto_map = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadInput, match="Python code of its own repository"):
        load_config("org/model" if is_cached else str(folder))
    known = tiny_config("bert").to_dict() | {"auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(known))
    assert trace(folder, seq_len=4).root.type == "BertModel"  # the library's own class, not the repository's
    assert not (tmp_path / "ran").exists()
