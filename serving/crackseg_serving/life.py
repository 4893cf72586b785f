"""The life of a server: listen, wait for the model, serve until asked to stop, drain.

Called by the command, which is already loading the model in a thread. It imports everything that answers requests, so the command
imports it late.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import uvloop

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.http.app import App
from crackseg_serving.http.server import Server, listen
from crackseg_serving.metrics import Metrics
from crackseg_serving.settings import Settings

if TYPE_CHECKING:
    from crackseg_serving.runtime.loading import Loaded

_LOG = logging.getLogger("crackseg")


def live(settings: Settings, loading: Future[Loaded]) -> None:
    """Serve what is being loaded, until told to stop. Raises OSError where it cannot listen, and what `loading` raises."""
    uvloop.run(_serve(settings, loading))


async def _serve(settings: Settings, loading: Future[Loaded]) -> None:
    _allow_connections()
    engine = Engine(settings, Metrics())
    ports = [settings.port, *([settings.page_port] if settings.page_port else [])]
    listeners = [listen(settings.host, port, settings.client_seconds) for port in ports]
    longest = max(settings.drain_seconds, contract.LONGEST_DRAIN_SECONDS)
    grace = max(1, contract.TERMINATION_GRACE_SECONDS - longest - 2)
    server = Server(App(engine), settings.client_seconds, settings.max_bytes)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start(listeners)
    for listener in listeners:
        _LOG.info("listening", extra={"host": settings.host, "port": listener.getsockname()[1]})
    try:
        async with _grpc(engine, settings, grace):
            await _live(engine, loading, stop)
    finally:
        await server.stop(grace)


def _allow_connections() -> None:
    """Raise the limit on open files to what the container allows: it often starts at 1024, and each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.asynccontextmanager
async def _grpc(engine: Engine, settings: Settings, grace: float) -> AsyncIterator[None]:
    """The gRPC server beside the other, where it has a port; what is in flight has `grace` seconds at the end."""
    if not settings.grpc_port:
        yield
        return
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log lines are not JSON, and add nothing to the status
    # In another thread, so that the event loop answers probes meanwhile.
    await asyncio.to_thread(importlib.import_module, "crackseg_serving.rpc.server")
    from crackseg_serving.rpc.server import start

    server = await start(engine)
    _LOG.info("listening for gRPC", extra={"host": settings.host, "port": settings.grpc_port})
    try:
        yield
    finally:
        await server.stop(grace)


async def _live(engine: Engine, loading: Future[Loaded], stop: asyncio.Event) -> None:
    """Wait for the model, serve until asked to stop, drain. Raises ModelFailure."""
    loaded, stopping = asyncio.wrap_future(loading), asyncio.create_task(stop.wait())
    either: set[asyncio.Future[Any]] = {loaded, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not loaded.done():
        # The loading thread may be busy with a graph for hours; nothing is being served, so nothing is lost.
        os._exit(0)
    model = await loaded
    engine.use(model)
    gc.freeze()  # what exists now stays, so the collector need not look at it again
    gc.enable()
    engine.serve()
    _LOG.info("ready", extra=engine.summary() | {"loadSeconds": round(model.seconds, 3)})
    await stopping
    engine.drain()
    quiet = engine.settings.drain_seconds
    _LOG.info("asked to stop: no longer ready, draining", extra={"seconds": quiet})
    await _drain(engine, quiet)


async def _drain(engine: Engine, quiet: float) -> None:
    """Go on answering until no request has come for `quiet` seconds: a proxy may learn late that this server is going away."""
    began = time.monotonic()
    longest = began + max(quiet, contract.LONGEST_DRAIN_SECONDS)
    while (left := min(max(began, engine.admission.latest) + quiet, longest) - time.monotonic()) > 0:  # noqa: ASYNC110 - time without a request is no event
        await asyncio.sleep(left)
