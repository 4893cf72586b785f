"""The ASGI application: every request in, every answer out; routes, errors, headers, metrics and the access log.

Called by the HTTP server for each request. Whatever happens in a handler, the client gets an answer and the server goes on.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from typing import Final

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Refused
from crackseg_serving.http import inference, operations
from crackseg_serving.http.messages import Receive, Request, Response, Scope, Send, read_request
from crackseg_serving.http.problems import Problem, from_refusal, to_response
from crackseg_serving.http.segmenting import segment_image
from crackseg_serving.logs import AccessLog

_LOG = logging.getLogger("crackseg.http")
_REQUEST_ID: Final = "x-request-id"
#: New ids: eight digits for this process, eight that count. No call that lets go of the interpreter for each request.
_PROCESS: Final = os.urandom(4).hex()
_NUMBERS: Final = itertools.count(1)
_SEGMENT: Final = "/v1/segment"
_OPERATIONS: Final = {
    contract.HEALTH_PATH: operations.health,
    contract.READY_PATH: operations.ready,
    contract.METRICS_PATH: operations.metrics,
    "/model/info": operations.model_info,
    "/v2": lambda _engine: inference.server_metadata(),
    "/v2/health/live": lambda _engine: Response.json({"live": True}),
    "/v2/health/ready": operations.ready,
}


class App:
    """The application over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = AccessLog(engine.settings.access_log_sample)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI calls it."""
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = read_request(scope, receive, _request_id(headers), headers)
        metrics = self._engine.metrics
        with metrics.in_flight.track_inprogress():
            response = await self._answer(request)
            await self._send(request, response, send)
        seconds = time.perf_counter() - start
        metrics.answered(_endpoint(request.path), response.status, seconds, request.id)
        problem = response.body.decode("utf-8", "replace") if response.status >= 400 else ""
        if request.path not in _OPERATIONS:
            self._log.write(request.method, request.path, response.status, seconds, request.id, problem)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._route(request)
        except Refused as refused:
            if isinstance(refused.__cause__, Exception):
                _LOG.error("request %s: %s", request.id, refused.message, exc_info=refused.__cause__)
            self._engine.metrics.rejected.labels(refused.cause.value).inc()
            return to_response(from_refusal(refused), request.path, request.id)
        except Problem as problem:
            self._engine.metrics.rejected.labels(problem.kind).inc()
            return to_response(problem, request.path, request.id)
        except Exception:  # noqa: BLE001 - the last line of defence: answered, logged, and the server goes on
            _LOG.exception("request %s failed", request.id)
            self._engine.metrics.rejected.labels("internal-error").inc()
            unexpected = Problem(
                500, "Internal error", f"the server failed; its log has the cause under request {request.id}"
            )
            return to_response(unexpected, request.path, request.id)

    async def _route(self, request: Request) -> Response:
        path = request.path if request.path == "/" else request.path.rstrip("/")
        operation = _OPERATIONS.get(path)
        if operation is not None:
            _allow(request, "GET", "HEAD")
            if operation is operations.metrics:
                return operations.metrics(self._engine, request.headers.get("accept", ""))
            return operation(self._engine)
        if path == _SEGMENT:
            _allow(request, "POST")
            return await segment_image(self._engine, request)
        match path.split("/")[1:]:
            case ["v2", "models", name, *rest]:
                return await self._model(request, name, rest)
            case _:
                pass
        raise Problem(
            404, "Not found", f"there is nothing at {path}: see /v1/segment, /v2, /model/info, /ready and /metrics"
        )

    async def _model(self, request: Request, name: str, rest: list[str]) -> Response:
        version: str | None = None
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]
        inference.check_name(self._engine.model, name, version)
        match rest:
            case []:
                _allow(request, "GET", "HEAD")
                return inference.model_metadata(self._engine.model)
            case ["ready"]:
                _allow(request, "GET", "HEAD")
                return operations.ready(self._engine)
            case ["infer"]:
                _allow(request, "POST")
                return await inference.infer(self._engine, request)
            case _:
                pass
        raise Problem(404, "Not found", "a model has only /ready and /infer below its name")

    async def _send(self, request: Request, response: Response, send: Send) -> None:
        headers = {
            "content-type": response.content_type,
            "content-length": str(len(response.body)),
            _REQUEST_ID: request.id,
            contract.VERSION_HEADER.lower(): _safe(self._engine.version),
            **{name.lower(): value for name, value in response.headers.items()},
        }
        if self._engine.state.reason == "Draining":
            headers["connection"] = "close"
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})


def _allow(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise Problem(405, "Method not allowed", f"{request.path} takes {allowed}", {"Allow": allowed})


def _safe(text: str) -> str:
    """Text that a model's author wrote, as a header may hold it."""
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)


def _request_id(headers: dict[str, str]) -> str:
    """The client's own id where it is sane, else a new one."""
    given = headers.get(_REQUEST_ID, "")
    if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{_PROCESS}{next(_NUMBERS):08x}"


def _endpoint(path: str) -> str:
    """A bounded label for a path."""
    if path == _SEGMENT or path in _OPERATIONS:
        return path
    if path.startswith("/v2/models/"):
        return "/v2/models/infer" if path.endswith("/infer") else "/v2/models"
    return "other"
