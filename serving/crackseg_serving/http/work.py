"""From the event loop to the engine's threads and back, with an eye on the client and on the clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
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
    job = engine.start(work, ticket)
    done = asyncio.wrap_future(job)
    try:
        if not await _awaited(request, done):
            ticket.cancel()
            # The worker holds the request's bytes until it looks at its ticket: so does the request.
            await asyncio.wait({done})
            done.exception()
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        return done.result()
    finally:
        ticket.cancel()  # whoever still works on it, after the server's grace for example, need not go on


async def attended(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, done on the event loop; called off where the client leaves. Raises Refused."""
    doing = asyncio.ensure_future(work)
    try:
        if not await _awaited(request, doing):
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        return doing.result()
    finally:
        doing.cancel()
        await asyncio.wait({doing})  # it has let go of what it held


async def _awaited(request: Request, done: asyncio.Future[Any]) -> bool:
    """Wait until it is done, or the client has left; whether it is done."""
    await asyncio.wait({done, request.body.gone()}, return_when=asyncio.FIRST_COMPLETED)
    return done.done()
