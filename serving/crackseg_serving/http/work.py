"""From the event loop to the engine's threads and back, with an eye on the client and on the clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.incoming import wake
from crackseg_serving.http.messages import Request

T = TypeVar("T")

TIMEOUT_HEADER: Final = "x-request-timeout"


def timeout_of(request: Request) -> float | None:
    """How many seconds the client gives its request, by its header X-Request-Timeout. Raises Refused (BAD_REQUEST)."""
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise Refused(Cause.BAD_REQUEST, f"X-Request-Timeout is {text!r:.50}, but must be a number of seconds above 0")
    return seconds


async def perform(engine: Engine, request: Request, ticket: Ticket, work: Callable[[], T]) -> T:
    """The result of `work` in a worker thread. Where the client leaves, the work is called off. Raises Refused."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the server has ended, and nobody waits any more
            loop.call_soon_threadsafe(wake, done)

    job = engine.start(work, ticket)
    # A third of what `wrap_future` and `wait` cost, and every request pays it.
    job.add_done_callback(tell)
    request.body.when_lost(ticket.cancel)
    try:
        # The worker holds the request's bytes until it looks at its ticket: so does the request, though its client has left.
        await done
    finally:
        ticket.cancel()  # whoever still works on it, after the server's grace for example, need not go on
    if request.body.lost:
        raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
    return job.result()


async def attended(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, done on the event loop; called off where the client leaves. Raises Refused."""
    doing, gone = asyncio.ensure_future(work), request.body.gone()
    try:
        either: set[asyncio.Future[Any]] = {doing, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        return doing.result()
    finally:
        doing.cancel()
        await asyncio.wait({doing})  # it has let go of what it held
