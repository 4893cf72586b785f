"""Below `/v2`: the Open Inference Protocol's paths except inference itself, with Triton's extensions.

https://github.com/kserve/open-inference-protocol (REST); for config, index and stats Triton's protocol documents.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.body import receive_body
from crackseg_serving.http.inference import infer
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import Problem
from crackseg_serving.http.work import timeout_of
from crackseg_serving.inference import describe

_INDEX_BYTES = 1 << 16  # the largest body of an index request
#: What Triton's clients ask for and this server does not have: they get the reason, not just "not found".
_NOT_SERVED: Final = (
    (re.compile(r"/v2/(system|cuda)sharedmemory/.*"), describe.NO_SHARED_MEMORY),
    (re.compile(r"/v2/(models/[^/]+/)?trace/setting|/v2/logging"), describe.NO_SETTINGS),
)


async def server_metadata(_engine: Engine, _request: Request) -> Response:
    """GET /v2."""
    return Response.json(describe.server_metadata())


async def live(engine: Engine, _request: Request) -> Response:
    """GET /v2/health/live."""
    return Response.json({"live": engine.alive}, status=200 if engine.alive else 503)


async def models(engine: Engine, _request: Request) -> Response:
    """GET /v2/models: the names of what is served, as KServe lists them."""
    return Response.json({"models": [engine.model.name]})


async def model_metadata(engine: Engine, request: Request) -> Response:
    """GET /v2/models/NAME."""
    _check(engine, request)
    return Response.json(describe.model_metadata(engine.model))


async def model_ready(engine: Engine, request: Request) -> Response:
    """GET /v2/models/NAME/ready."""
    _check(engine, request)
    state = engine.state
    document = {"name": engine.model.name, "ready": state.ready, "reason": state.reason, "message": state.message}
    return Response.json(document, status=200 if state.ready else 503)


async def model_config(engine: Engine, request: Request) -> Response:
    """GET /v2/models/NAME/config."""
    _check(engine, request)
    return Response.json(describe.model_config(engine))


async def model_statistics(engine: Engine, request: Request) -> Response:
    """GET /v2/models/NAME/stats, and /v2/models/stats."""
    _check(engine, request)
    return Response.json(describe.statistics(engine))


async def model_infer(engine: Engine, request: Request) -> Response:
    """POST /v2/models/NAME/infer."""
    _check(engine, request)
    return await infer(engine, request)


async def repository_index(engine: Engine, request: Request) -> Response:
    """GET or POST /v2/repository/index; the body, or the query, may ask for ready models only."""
    ready_only: object = request.query.get("ready", "false") == "true"
    if request.method == "POST":
        with engine.admission.request(timeout_of(request)) as ticket, engine.admission.body() as grow:
            body = await receive_body(engine, request, ticket, grow, _INDEX_BYTES)
        try:
            document = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise Refused(Cause.BAD_REQUEST, f"the request is not JSON: {error}") from None
        ready_only = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(ready_only, bool):
        raise Refused(Cause.BAD_REQUEST, "the request must be an object, and its `ready` true or false")
    return Response.json(describe.repository_index(engine, ready_only=ready_only))


async def repository_change(_engine: Engine, _request: Request) -> Response:
    """POST /v2/repository/models/NAME/load and unload: not here."""
    raise Problem(501, "Not implemented", describe.NO_CHANGES)


def not_served(path: str) -> str:
    """Why nothing is at a path that Triton's extensions have; empty for any other path."""
    return next((why for pattern, why in _NOT_SERVED if pattern.fullmatch(path.rstrip("/"))), "")


def _check(engine: Engine, request: Request) -> None:
    """Raise Problem 404 where the path names another model or version than what is served."""
    model, arguments = engine.model, request.arguments
    why = describe.unknown(model, arguments.get("model", model.name), arguments.get("version", ""))
    if why:
        raise Problem(404, "Not found", why)
