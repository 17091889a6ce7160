"""`irene web` as people meet it: in a browser, by programs, by many threads at once, and past its limits."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.web.question import Question
from tests.browsing import DESKTOP, PHONE, Opened, launched
from tests.web.test_answering import CONFIG

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not all(map(find_spec, ("gradio", "mcp", "pebble"))), reason="the extra is missing: pip install '.[web]'"
    ),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "irene", "web", "--port", "0", "--workers", "2", "--mcp"]
    environment = {**os.environ, "PYTHONPATH": str(Path(irene.__file__).parents[1])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        end = threading.Timer(240, server.kill)
        end.start()
        assert server.stderr is not None
        said: list[str] = []
        for line in server.stderr:
            said.append(line)
            if line.startswith("Serving at "):
                break
        else:
            pytest.fail(f"no server: {said}")
        end.cancel()
        yield line.split()[2].rstrip("/")
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=200) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_a_question_in_a_browser_and_its_link(address: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(CONFIG, "utf-8")
    with launched() as browser:
        opened = Opened(browser, address, PHONE, offline=False, shows="form")
        assert opened.width_px() <= PHONE["width"]
        page = opened.page
        page.fill("[name=model]", "bert-tiny")
        page.fill("[name=batch_size]", "8")
        page.select_option("[name=device]", "a100-sxm-80gb")
        page.get_by_role("button", name="Predict", exact=True).click()
        page.wait_for_selector("#icicle .box")
        link = page.url
        assert link == f"{address}/report?model=bert-tiny&device=a100-sxm-80gb&batch_size=8"
        assert "A100" in page.inner_text(".hero-card")
        page.get_by_role("link", name="Another question").click()
        page.wait_for_selector("form")
        assert page.input_value("[name=model]") == "bert-tiny" and page.input_value("[name=batch_size]") == "8"
        page.set_input_files("[name=config]", config)
        page.get_by_role("button", name="Predict the file").click()
        page.wait_for_selector("#icicle .box")
        assert page.inner_text(".hero-card h1") == "config.json"
        opened.close()
        again = Opened(browser, link, DESKTOP, offline=False, shows="#icicle .box")
        assert "A100" in again.page.inner_text(".hero-card")
        assert again.requests == [link]  # one file, nothing beside it
        again.close()


def test_programs_get_json_and_lines(address: str) -> None:
    status, text = ask(f"{address}/api/predict?model=bert-tiny&batch_size=8")
    assert status == 200
    assert json.loads(text)["energy_j"] == pytest.approx(irene.predict("bert-tiny", batch_size=8).energy_j)
    status, text = ask(f"{address}/api/predict?model=../secrets")
    assert status == 400 and "Unknown model" in json.loads(text)["error"]
    call = json.dumps({"data": ["bert-tiny", "", "", "8", "", "", "", ""]}).encode()
    _, text = ask(f"{address}/gradio_api/call/predict", call, **{"Content-Type": "application/json"})
    _, text = ask(f"{address}/gradio_api/call/predict/{json.loads(text)['event_id']}")
    event, data = text.splitlines()[:2]
    assert event == "event: complete"
    assert json.loads(data.removeprefix("data: "))[0]["energy_j"] > 0


def test_agents_find_a_tool(address: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    status, text = ask(f"{address}/gradio_api/mcp/", body, **headers)
    assert status == 200 and "predict" in text and "bundled model" in text


def test_what_is_too_large_or_elsewhere_is_refused(address: str) -> None:
    assert ask(f"{address}/report", b"x" * 400_000)[0] == 413
    for path in ("/gradio_api/upload", "/monitoring", "/login", "/gradio_api/file=/etc/passwd", "/../etc/passwd"):
        assert ask(address + path)[0] == 404, path
    status, page = ask(f"{address}/report?model=<script>alert(1)</script>")
    assert status == 400 and "<script>alert" not in page


def test_many_threads_get_their_own_answers(address: str) -> None:
    questions = [{"model": "bert-tiny", "batch_size": str(2**i)} for i in range(6)]
    said = {q["batch_size"]: irene.predict("bert-tiny", batch_size=int(q["batch_size"])).energy_j for q in questions}

    def one(number: int) -> None:
        question = questions[number % len(questions)]
        status, text = ask(f"{address}/api/predict?{urllib.parse.urlencode(question)}")
        assert status == 200, text
        assert json.loads(text)["energy_j"] == pytest.approx(said[question["batch_size"]])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(one, range(30)))


def test_a_question_that_takes_too_long_is_ended_and_the_next_answered() -> None:
    from irene.web.workers import Workers

    async def both(workers: Workers) -> tuple[Any, Any, Any]:
        slow = await workers.ask(Question(model="deepseek-ai/DeepSeek-V3"), "html")
        workers._limit_s = 200.0
        good = await workers.ask(Question(model="bert-tiny"), "json")
        workers._most = 0
        return slow, good, await workers.ask(Question(model="bert-tiny"), "json")

    workers = Workers(count=1, limit_s=0.05)
    try:
        slow, good, refused = asyncio.run(both(workers))
    finally:
        workers.close()
    assert slow.status == 504 and "No answer in 0.05 s" in slow.text
    assert good.status == 200 and json.loads(good.text)["energy_j"] > 0
    assert refused.status == 503
