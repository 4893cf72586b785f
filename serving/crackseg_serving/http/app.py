"""The ASGI application: every request in, every answer out; routes, errors, headers, metrics and the access log.

Called by the HTTP server for each request. Whatever happens in a handler, the client gets an answer and the server goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Refused, let_go
from crackseg_serving.http.compression import compressed
from crackseg_serving.http.messages import Receive, Request, Response, Scope, Send, read_request
from crackseg_serving.http.problems import Problem, from_refusal, to_response
from crackseg_serving.http.routes import POLLED, Route, find
from crackseg_serving.inference.describe import NO_SHARED_MEMORY
from crackseg_serving.logs import AccessLog

_LOG = logging.getLogger("crackseg.http")
_REQUEST_ID: Final = "x-request-id"
#: Where Triton's clients look for it before anything else: more than "not found" is due to them.
_SHARED_MEMORY: Final = ("/v2/systemsharedmemory/", "/v2/cudasharedmemory/")
_HOST: Final = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*")  # of RFC 3986, and a port
_WITHOUT_BODY: Final = frozenset({204, 304})
#: New ids: eight digits for this process, eight that count. No call that lets go of the interpreter for each request.
_PROCESS: Final = os.urandom(4).hex()
_NUMBERS: Final = itertools.count(1)


class App:
    """The application over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = AccessLog(engine.settings.access_log_sample)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """One request, as ASGI calls it."""
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = read_request(scope, _request_id(headers), headers)
        metrics = self._engine.metrics
        route = find(request.path)
        with metrics.in_flight.track_inprogress():
            response = await self._answer(request, route, scope)
            problem = response.body.decode("utf-8", "replace") if response.status >= 400 else ""
            await self._send(request, await compressed(response, request), send)
        seconds = time.perf_counter() - start
        endpoint = route.template if route else "other"
        metrics.answered(endpoint, response.status, seconds, request.id)
        if endpoint not in POLLED:
            self._log.write(request.method, request.path, response.status, seconds, request.id, problem)

    async def _answer(self, request: Request, route: Route | None, scope: Scope) -> Response:
        try:
            _check_host(scope)
            return await self._route(request, route)
        except Exception as error:  # noqa: BLE001 - the last line of defence: answered, logged, and the server goes on
            problem, label = _problem(error, request.id)
            self._engine.metrics.rejected.labels(label).inc()
            let_go(error)
            return to_response(problem, request.path, request.id)

    async def _route(self, request: Request, route: Route | None) -> Response:
        if route is None:
            if request.path.startswith(_SHARED_MEMORY):
                raise Problem(501, "Not implemented", NO_SHARED_MEMORY)
            raise Problem(404, "Not found", f"there is nothing at {request.path:.200}: /openapi.json has all paths")
        if request.method == "OPTIONS":
            return Response(b"", status=204, headers={"Allow": route.methods})
        handler = route.handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            raise Problem(
                405, "Method not allowed", f"{route.template} takes {route.methods}", {"Allow": route.methods}
            )
        request.arguments = route.arguments
        return await handler(self._engine, request)

    async def _send(self, request: Request, response: Response, send: Send) -> None:
        length = {"content-length": str(len(response.body))} if response.stream is None else {}
        described = {"content-type": response.content_type, **length}
        headers = {
            **(described if response.status not in _WITHOUT_BODY else {}),
            _REQUEST_ID: request.id,
            contract.VERSION_HEADER.lower(): _safe(self._engine.version),
            **{name.lower(): value for name, value in response.headers.items()},
        }
        if self._engine.state.reason == "Draining":
            headers["connection"] = "close"
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        if response.stream is not None and not await self._stream(response.stream, send):
            return  # uvicorn closes a connection whose answer is not whole
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, stream: AsyncGenerator[bytes, None], send: Send) -> bool:
        """Send an answer part by part. False where the client does not read on: it holds a place for nothing."""
        async with aclosing(stream) as parts:
            async for part in parts:
                try:
                    async with asyncio.timeout(self._engine.settings.client_seconds):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                except TimeoutError:
                    return False
        return True


def _check_host(scope: Scope) -> None:
    """A request that may be meant for others is not answered (RFC 9112, 3.2). Raises Problem."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if (len(hosts) != 1 and (hosts or scope["http_version"] == "1.1")) or not all(map(_HOST.fullmatch, hosts)):
        message = "the request needs one header Host, the server's name or address as in the URL"
        raise Problem(400, "Bad request", message, {"Connection": "close"})


def _problem(error: Exception, request_id: str) -> tuple[Problem, str]:
    """What went wrong, as the client is told, and its label; what is the server's fault goes to its log."""
    if isinstance(error, Problem):
        return error, error.kind
    if isinstance(error, Refused):
        if isinstance(error.__cause__, Exception):
            _LOG.error("request %s: %s", request_id, error.message, exc_info=error.__cause__)
        return from_refusal(error), error.cause.value
    _LOG.error("request %s failed", request_id, exc_info=error)
    message = f"the server failed; its log has the cause under request {request_id}"
    return Problem(500, "Internal error", message), "internal-error"


def _safe(text: str) -> str:
    """Text that a model's author wrote, as a header may hold it."""
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)


def _request_id(headers: dict[str, str]) -> str:
    """The client's own id where it is sane, else a new one."""
    given = headers.get(_REQUEST_ID, "")
    if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{_PROCESS}{next(_NUMBERS):08x}"
