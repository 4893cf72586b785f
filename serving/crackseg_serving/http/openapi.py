"""`/openapi.json`."""

from __future__ import annotations

from crackseg_serving.engine import Engine
from crackseg_serving.http.messages import Request, Response


async def document(_engine: Engine, _request: Request) -> Response:
    """GET /openapi.json."""
    return Response.json({})
