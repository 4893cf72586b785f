"""Several images in one request: answered as a list in their order, or line by line as they are done.

Called by `segmenting`. An image that fails has a problem document in its place; the others are not affected.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import orjson

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused, let_go
from crackseg_serving.http.messages import Request
from crackseg_serving.http.problems import Problem, from_refusal, to_response

_LOG = logging.getLogger("crackseg.http")
_AT_ONCE: Final = 4  # images of one request, so that other requests get their turn

Work = Callable[[bytes, Ticket], bytes]  # an image file in, its JSON document out
Entries = AsyncGenerator[tuple[int, bytes], None]


async def as_list(entries: Entries) -> bytes:
    """All entries as one JSON array, in the order in which the images came."""
    found = [entry async for entry in entries]
    return b"[" + b",".join(entry for _, entry in sorted(found)) + b"]"


async def as_lines(entries: Entries, held: ExitStack) -> AsyncGenerator[bytes, None]:
    """A line for each entry as soon as it is there, after an immediate empty part. `held` is released at the end, however that comes."""
    with held:
        try:
            yield b""
            async for _, entry in entries:
                yield entry + b"\n"
        except Refused:
            return  # the client is gone
        finally:
            await entries.aclose()


async def each(
    engine: Engine, request: Request, ticket: Ticket, images: Sequence[tuple[str, bytes]], work: Work
) -> Entries:
    """The position and the entry (a JSON object) of each image as it is done; a few are processed at once.

    If the client disconnects or the generator is closed, the rest is dropped. Raises Refused (CLIENT_GONE).
    """
    waiting = deque(enumerate(images))
    running: dict[asyncio.Future[bytes], tuple[int, str, Ticket]] = {}
    gone = request.body.gone()
    try:
        while waiting or running:
            while waiting and len(running) < min(_AT_ONCE, engine.settings.workers):
                place, (name, data) = waiting.popleft()
                own = Ticket(ticket.deadline, ticket.came)
                job = engine.start(partial(work, data, own), own)
                running[asyncio.wrap_future(job)] = (place, name, own)
            either: set[asyncio.Future[Any]] = {*running, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise Refused(Cause.CLIENT_GONE, "the client closed the connection")
            for done in [job for job in running if job.done()]:
                place, name, _ = running.pop(done)
                yield place, _entry(engine, request, place, name, done)
    finally:
        for _, _, own in running.values():
            own.cancel()
        # The workers hold the request's bytes until they look at their tickets: so does the request.
        await asyncio.gather(*running, return_exceptions=True)


def _entry(engine: Engine, request: Request, place: int, name: str, done: asyncio.Future[bytes]) -> bytes:
    """`{"index", "name", "result" or "problem"}`."""
    where = {"index": place, "name": name}
    try:
        return orjson.dumps({**where, "result": orjson.Fragment(done.result())})
    except Refused as refused:
        problem = from_refusal(refused)
        label = refused.cause.value
        let_go(refused)
    except Exception:  # noqa: BLE001 - as in the application: answered, logged, and the others go on
        _LOG.exception("request %s failed at image %d", request.id, place)
        label = "internal-error"
        problem = Problem(500, "Internal error", f"the server failed; its log has the cause under request {request.id}")
    engine.metrics.rejected.labels(label).inc()
    document = to_response(problem, request.path, request.id).body
    return orjson.dumps({**where, "problem": orjson.Fragment(document)})
