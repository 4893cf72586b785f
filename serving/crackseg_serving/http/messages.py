"""Requests and responses as values, between a connection and the handlers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qs

import httptools
import orjson

from crackseg_serving.http.incoming import Incoming
from crackseg_serving.identity import REQUEST_ID, request_id


@dataclass(slots=True)
class Request:
    """One request; its body is still to be received."""

    method: str
    path: str
    query: Mapping[str, str]
    version: str  # of HTTP: 1.0 or 1.1
    headers: Mapping[str, str]  # lower-case names; of one that is there several times all values, with commas
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


def read_request(method: str, target: bytes, version: str, headers: Mapping[str, str], body: Incoming) -> Request:
    """The request with this head. A query parameter given twice counts once: the last. Raises HttpParserError."""
    url = httptools.parse_url(target)
    query = _query(url.query) if url.query else {}
    return Request(
        method,
        (url.path or b"/").decode("latin-1"),
        query,
        version,
        headers,
        request_id(headers.get(REQUEST_ID, "")),
        body,
    )


@lru_cache(64)
def _query(text: bytes) -> Mapping[str, str]:
    return {name: values[-1] for name, values in parse_qs(text.decode("latin-1")).items()}
