"""From the event loop to the engine's threads and back, with an eye on the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.messages import Request

T = TypeVar("T")


async def perform(engine: Engine, request: Request, ticket: Ticket, work: Callable[[], T]) -> T:
    """The result of `work` in a worker thread. Where the client leaves, the work is called off. Raises Refused."""
    job = engine.start(work, ticket)
    done = asyncio.wrap_future(job)
    gone = asyncio.ensure_future(_disconnected(request))
    either: set[asyncio.Future[Any]] = {done, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            ticket.cancel()
            # The worker holds the request's bytes until it looks at its ticket: so does the request.
            await asyncio.wait({done})
            done.exception()
            raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
        return done.result()
    finally:
        gone.cancel()
        ticket.cancel()  # whoever still works on it, after the server's grace for example, need not go on


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
