"""The server's command: settings, logs, the life from loading to draining, and the exit code.

0: asked to stop, and everything in flight was answered. 1: the model cannot be served; the termination message has a
contract.Report. 2: the settings make no sense.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from crackseg_serving import contract, logs
from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.settings import Settings, SettingsError, from_environment

if TYPE_CHECKING:
    from crackseg_serving.engine import Engine

_LOG = logging.getLogger("crackseg")


def main() -> int:
    """Run until told to stop."""
    # A stop asked for before anything is served needs no ceremony. (Process 1 has no default action for SIGTERM.)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        settings = from_environment()
    except SettingsError as error:
        print(f"crackseg-serving: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    import uvloop

    try:
        uvloop.run(_serve(settings))
    except ModelFailure as failure:
        _LOG.error("%s", failure.message, extra={"reason": failure.reason})
        _leave(failure, settings)
        return 1
    except OSError as error:
        _LOG.error("the server cannot listen on %s: %s", error.filename or settings.host, error.strerror or error)
        # The model may be in the middle of being opened, and C++ aborts where the interpreter is taken down under it.
        os._exit(1)
    return 0


async def _serve(settings: Settings) -> None:
    from crackseg_serving.engine import Engine
    from crackseg_serving.metrics import Metrics

    gc.disable()  # what is being imported stays
    importlib.import_module("crackseg_serving.runtime.warmup")  # two threads that import wait for each other
    engine = Engine(settings, Metrics())
    loading = _load(engine)  # beside it, while the model is opened and run without the interpreter:
    from crackseg_serving.http.app import App
    from crackseg_serving.http.server import Server, listen

    ports = [settings.port, *([settings.page_port] if settings.page_port else [])]
    listeners = [listen(settings.host, port) for port in ports]
    longest = max(settings.drain_seconds, contract.LONGEST_DRAIN_SECONDS)
    grace = max(1, contract.TERMINATION_GRACE_SECONDS - longest - 2)
    server = Server(App(engine), grace, settings.client_seconds)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(server.serve(sockets=listeners))
    for listener in listeners:
        _LOG.info("listening", extra={"host": settings.host, "port": listener.getsockname()[1]})
    try:
        async with _grpc(engine, settings, grace):
            await _live(engine, loading, settings, stop)
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def _grpc(engine: Engine, settings: Settings, grace: float) -> AsyncIterator[None]:
    """The gRPC server beside the other, where it has a port; what is in flight has `grace` seconds at the end."""
    if not settings.grpc_port:
        yield
        return
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines are no JSON, and say nothing that a status does not
    await asyncio.to_thread(importlib.import_module, "crackseg_serving.rpc.server")
    from crackseg_serving.rpc.server import start

    server = await start(engine)
    _LOG.info("listening for gRPC", extra={"host": settings.host, "port": settings.grpc_port})
    try:
        yield
    finally:
        await server.stop(grace)


async def _live(engine: Engine, loading: asyncio.Future[None], settings: Settings, stop: asyncio.Event) -> None:
    """Wait for the model, serve until asked to stop, drain. Raises ModelFailure."""
    stopping = asyncio.create_task(stop.wait())
    either: set[asyncio.Future[Any]] = {loading, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        # The loading thread may be deep in a graph for hours: nothing is being served, so nothing is lost.
        os._exit(0)
    await loading
    gc.freeze()  # what a server is made of need not be looked through again
    gc.enable()
    engine.serve()
    _LOG.info("ready", extra=engine.summary())
    await stopping
    engine.drain()
    _LOG.info("asked to stop: no longer ready, draining", extra={"seconds": settings.drain_seconds})
    await _drain(engine, settings.drain_seconds)


async def _drain(engine: Engine, quiet: float) -> None:
    """Answer on until no request has come for `quiet` seconds: a proxy may learn late that this server goes."""
    began = time.monotonic()
    longest = began + max(quiet, contract.LONGEST_DRAIN_SECONDS)
    while (left := min(max(began, engine.admission.latest) + quiet, longest) - time.monotonic()) > 0:  # noqa: ASYNC110 - time without a request is no event
        await asyncio.sleep(left)


def _load(engine: Engine) -> asyncio.Future[None]:
    """Load in a thread of its own, a daemon: a model that takes for ever must not keep the process from ending."""
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[None] = loop.create_future()

    def load() -> None:
        try:
            engine.load()
        except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
            loop.call_soon_threadsafe(loaded.set_exception, _as_failure(error))
        else:
            loop.call_soon_threadsafe(loaded.set_result, None)

    threading.Thread(target=load, name="load", daemon=True).start()
    return loaded


def _as_failure(error: Exception) -> Exception:
    if is_memory(error) and not isinstance(error, ModelFailure):
        return ModelFailure("OutOfMemory", "the model does not fit into the container's memory: raise its limit")
    return error


def _leave(failure: ModelFailure, settings: Settings) -> None:
    """Leave the report where the kubelet looks for it; it made the file, and outside a pod there is none."""
    if settings.termination_log.exists() or str(settings.termination_log) != contract.TERMINATION_LOG:
        with contextlib.suppress(OSError):
            settings.termination_log.write_text(failure.report().to_json() + "\n")


if __name__ == "__main__":
    sys.exit(main())
