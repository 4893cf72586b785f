"""The application: every request in, every answer out; routes, errors, headers, metrics and the access log.

Called by a connection for each request. Whatever happens in a handler, the client gets an answer and the server goes on.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Refused, let_go
from crackseg_serving.http.compression import compressed
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import Problem, from_refusal, to_response
from crackseg_serving.http.routes import POLLED, Route, find
from crackseg_serving.http.v2 import not_served
from crackseg_serving.identity import REQUEST_ID
from crackseg_serving.logs import AccessLog

_LOG = logging.getLogger("crackseg.http")
_HOST: Final = re.compile(r"[\w.~!$&'()*+;=%:\[\]-]*", re.ASCII)  # of RFC 3986, and a port; a comma would part two


class App:
    """The application over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = AccessLog(engine.settings.access_log_sample)

    async def __call__(self, request: Request, send: Callable[[Response], Awaitable[None]]) -> None:
        """Answer one request by one call of `send`."""
        start = time.perf_counter()
        metrics = self._engine.metrics
        route = find(request.path)
        with metrics.in_flight.track_inprogress():
            response, why = await self._answer(request, route)
            await send(self._signed(await compressed(response, request), request))
        seconds = time.perf_counter() - start
        endpoint = route.template if route else "other"
        metrics.answered(endpoint, response.status, seconds, request.id)
        if endpoint not in POLLED:
            self._log.write(request.method, request.path, response.status, seconds, request.id, **why)

    def _signed(self, response: Response, request: Request) -> Response:
        """With what every answer has: whose it is, and by which version."""
        own = {REQUEST_ID: request.id, contract.VERSION_HEADER: self._engine.version}
        response.headers = {**response.headers, **own}
        if self._engine.state.reason == "Draining":
            response.headers["Connection"] = "close"
        return response

    async def _answer(self, request: Request, route: Route | None) -> tuple[Response, dict[str, str]]:
        """The answer, and for the log why it has no result."""
        try:
            _check_host(request)
            return await self._route(request, route), {}
        except Exception as error:  # noqa: BLE001 - the last line of defence: answered, logged, and the server goes on
            problem, label = _problem(error, request.id)
            self._engine.metrics.rejected.labels(label).inc()
            let_go(error)
            return to_response(problem, request.path, request.id), {"reason": label, "problem": problem.detail}

    async def _route(self, request: Request, route: Route | None) -> Response:
        if route is None:
            if why := not_served(request.path):
                raise Problem(501, "Not implemented", why)
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


def _check_host(request: Request) -> None:
    """A request that may be meant for others is not answered (RFC 9112, 3.2). Raises Problem."""
    host = request.headers.get("host", None if request.version == "1.1" else "")
    if host is None or not _HOST.fullmatch(host):
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
