"""The server: a form, reports, JSON, and on request tools for agents (MCP); Gradio's server mode, which is FastAPI.

What comes in is small (a config of 256 KiB at most), of few addresses, and answered by workers within their time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

from irene.errors import BadInput
from irene.version import __version__
from irene.web.answering import Answer
from irene.web.pages import form_page
from irene.web.question import MOST_CONFIG_BYTES, Question, read_question
from irene.web.workers import Workers

_MOST_BODY_BYTES = MOST_CONFIG_BYTES + 16 * 1024
_OPEN = ("/", "/report", "/api/predict", "/openapi.json", "/config", "/gradio_api/info", "/gradio_api/startup-events")
_OPEN_BELOW = ("/gradio_api/call/", "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/mcp")
"""Gradio has more (uploads to a folder of its own, monitoring): nothing here needs them, so they are closed."""


def require_web() -> None:
    """Raises BadInput where packages of the extra are missing."""
    missing = [name for name in ("gradio", "mcp", "pebble") if find_spec(name) is None]
    if missing:
        raise BadInput(f"'irene web' needs {' and '.join(missing)}: python -m pip install 'irene-energy[web]'.")


def start_server(workers: Workers, *, host: str, port: int, mcp: bool = False) -> tuple[Any, str]:
    """Start to serve in threads of this process; the app and its address. `port` 0 takes one that is free.

    With `mcp` it is a tool at `/gradio_api/mcp/`, too. Raises BadInput for a missing package or a port in use.
    """
    require_web()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing is told to anybody
    from fastapi import Request
    from fastapi.responses import HTMLResponse, JSONResponse, Response
    from gradio import Server

    server = Server(title="irene", version=__version__, docs_url=None, redoc_url=None)  # pages that load from a CDN

    async def limit(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if path not in _OPEN and not path.startswith(_OPEN_BELOW):
            return HTMLResponse(form_page(Question(), "There is no such page."), 404)
        size = request.headers.get("content-length", "0" if request.method in ("GET", "HEAD") else "")
        if not size.isdigit() or int(size) > _MOST_BODY_BYTES:
            return JSONResponse({"error": f"At most {_MOST_BODY_BYTES} bytes, and their number said before."}, 413)
        return await follow(request)

    async def show_form(request: Request) -> Response:
        try:
            asked = {name: text for name, text in request.query_params.items() if text}
            return HTMLResponse(form_page(read_question(asked) if asked else Question()))
        except BadInput as problem:
            return HTMLResponse(form_page(Question(), str(problem)), 400)

    async def show_report(request: Request) -> Response:
        try:
            question = await _read_request(request)
        except BadInput as problem:
            return HTMLResponse(form_page(Question(), str(problem)), 400)
        found = await workers.ask(question, "html")
        page = found.text if found.status == 200 else form_page(question, found.text)
        return HTMLResponse(page, found.status)

    async def send_json(request: Request) -> Response:
        try:
            found = await workers.ask(await _read_request(request), "json")
        except BadInput as problem:
            found = Answer(400, str(problem))
        text = found.text if found.status == 200 else json.dumps({"error": found.text})
        return Response(text, found.status, media_type="application/json")

    async def predict(
        model: str, device: str = "", variant: str = "", batch_size: str = "", seq_len: str = "",
        new_tokens: str = "", dtype: str = "", execution: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Predict the energy (J), time (s), power (W) and memory (B) of a Transformer on a GPU, without running it.

        Args:
            model: A bundled model, such as bert-base-uncased or meta-llama/Llama-3.1-8B.
            device: A device such as h200 or a100-sxm-80gb; h200 if empty.
            variant: A change of the model, such as layers:6 or fp8; none if empty.
            batch_size: Inputs in one batch; 1 if empty.
            seq_len: Tokens of each input; 128 if empty.
            new_tokens: Tokens to generate; a forward pass if empty.
            dtype: bfloat16, float16 or float32; bfloat16 if empty.
            execution: eager or cuda_graph; eager if empty.

        """
        given = {
            "model": model, "device": device, "variant": variant, "batch_size": batch_size, "seq_len": seq_len,
            "new_tokens": new_tokens, "dtype": dtype, "execution": execution,
        }  # fmt: skip
        try:
            found = await workers.ask(read_question({name: str(value) for name, value in given.items()}), "json")
        except BadInput as problem:
            found = Answer(400, str(problem))
        if found.status != 200:
            return {"error": found.text}
        whole = json.loads(found.text)
        return {name: value for name, value in whole.items() if name not in ("tree", "nodes", "rows")}

    server.middleware("http")(limit)
    for path, handler, methods in (
        ("/", show_form, ["GET"]),
        ("/report", show_report, ["GET", "POST"]),
        ("/api/predict", send_json, ["GET", "POST"]),
    ):
        server.router.add_route(path, handler, methods=methods)
    server.api(predict, name="predict", concurrency_limit=None)
    try:
        app, address, _ = server.launch(
            server_name=host, server_port=port or None, prevent_thread_lock=True, quiet=True, mcp_server=mcp,
            max_file_size=_MOST_BODY_BYTES, ssr_mode=False, share=False, _frontend=False,
        )  # fmt: skip
    except OSError as problem:
        raise BadInput(f"Cannot serve at {host}:{port}: {problem}. Name another with --port.") from None
    return app, str(address)


async def _read_request(request: Any) -> Question:
    """The question in the query of a GET, or in the form of a POST, with the file that was sent."""
    if request.method == "GET":
        return read_question(dict(request.query_params))
    form = await request.form(max_files=1, max_fields=20)
    sent = form.get("config")
    content = await sent.read() if sent is not None and not isinstance(sent, str) else b""
    if not content:
        raise BadInput("config: expected the file config.json, got none.")
    return read_question({name: text for name, text in form.items() if isinstance(text, str)}, content)
