"""The command that serves a page: `irene web`."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import say
from irene.errors import BadInput


def serve_web(
    host: Annotated[str, typer.Option("--host", help="Where to listen; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port; 0 takes a free one.")] = 7860,
    workers: Annotated[
        int | None, opt.defaulting("--workers", help="Processes that predict.", to="one for each two cores")
    ] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", help="Seconds that an answer may take.")] = 60.0,
    mcp: Annotated[bool, typer.Option("--mcp", help="Also a tool for agents, at /gradio_api/mcp/.")] = False,
) -> None:
    """A page, an HTTP API, and tools for agents; needs the extra [web]."""
    opt.require_at_least("workers", workers, 1)
    if not 0 <= port < 2**16:
        raise BadInput(f"--port must be from 0 to 65535, got {port}.")
    if not 0 < time_limit <= 3600:
        raise BadInput(f"--time-limit must be above 0 and at most 3600 seconds, got {time_limit:g}.")
    from irene.web.server import require_web, start_server
    from irene.web.workers import Workers

    require_web()
    count = workers if workers is not None else max(1, (os.cpu_count() or 2) // 2)
    pool = Workers(count=count, limit_s=time_limit)
    try:
        _, address = start_server(pool, host=host, port=port, mcp=mcp)
        say(f"Serving at {address} with {count} workers; Ctrl+C ends it.")
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("Ended.")
    finally:
        pool.close()
