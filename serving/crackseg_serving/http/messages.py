"""Requests and responses as values, between the ASGI callables and the handlers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from crackseg_serving.http.incoming import Incoming

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = dict[str, Any]


@dataclass(slots=True)
class Request:
    """One request; its body is still to be received."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # lower-case names
    id: str
    body: Incoming  # on its way; it knows when the client is gone
    arguments: Mapping[str, str] = field(default_factory=dict)  # what the path names, by the route's template


@dataclass(slots=True)
class Response:
    """One answer."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncGenerator[bytes, None] | None = None  # instead of the body, part by part; closed in any case

    @classmethod
    def json(cls, content: object, status: int = 200) -> Response:
        """An answer of JSON."""
        return cls(orjson.dumps(content), status=status)


def read_request(scope: Scope, request_id: str, headers: Mapping[str, str]) -> Request:
    """The request of an ASGI scope. A query parameter given twice counts once: the last."""
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
    return Request(
        scope["method"],
        scope["raw_path"].decode("latin-1"),
        query,
        headers,
        request_id,
        scope["state"]["body"],
    )
