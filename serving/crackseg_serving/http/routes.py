"""Every path of the server, each once: what answers it by which method. The OpenAPI document has the same paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.http import operations, v2
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.openapi import document
from crackseg_serving.http.page import page_document
from crackseg_serving.http.segmenting import segment_image
from crackseg_serving.values import value

Handler = Callable[[Engine, Request], Awaitable[Response]]

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = _MODEL + "/versions/{version}"
_BELOW_MODEL: Final[Mapping[str, Mapping[str, Handler]]] = {
    "/infer": {"POST": v2.model_infer},
    "": {"GET": v2.model_metadata},
    "/ready": {"GET": v2.model_ready},
    "/config": {"GET": v2.model_config},
    "/stats": {"GET": v2.model_statistics},
}
ROUTES: Final[Mapping[str, Mapping[str, Handler]]] = {
    "/": {"GET": page_document},
    "/v1/segment": {"POST": segment_image},
    **{_MODEL + rest: handlers for rest, handlers in _BELOW_MODEL.items()},
    **{_VERSION + rest: handlers for rest, handlers in _BELOW_MODEL.items()},
    "/v2": {"GET": v2.server_metadata},
    "/v2/health/live": {"GET": v2.live},
    "/v2/health/ready": {"GET": operations.ready},
    "/v2/models": {"GET": v2.models},
    "/v2/models/stats": {"GET": v2.model_statistics},
    "/v2/repository/index": {"GET": v2.repository_index, "POST": v2.repository_index},
    "/v2/repository/models/{model}/load": {"POST": v2.repository_change},
    "/v2/repository/models/{model}/unload": {"POST": v2.repository_change},
    "/model/info": {"GET": operations.model_info},
    "/openapi.json": {"GET": document},
    contract.HEALTH_PATH: {"GET": operations.health},
    contract.READY_PATH: {"GET": operations.ready},
    contract.METRICS_PATH: {"GET": operations.metrics},
}
#: Paths that machines ask for every few seconds: not worth a line in the log.
POLLED: Final = frozenset(
    {contract.HEALTH_PATH, contract.READY_PATH, contract.METRICS_PATH, "/v2/health/live", "/v2/health/ready"}
)
_PATTERNS: Final = [(template.split("/"), template) for template in ROUTES if "{" in template]


@value
class Route:
    """Where a path leads."""

    template: str
    handlers: Mapping[str, Handler]
    arguments: Mapping[str, str]

    @property
    def methods(self) -> str:
        """What can be asked of it, as the header Allow says it."""
        return ", ".join([*self.handlers, *(["HEAD"] if "GET" in self.handlers else []), "OPTIONS"])


@lru_cache(64)
def find(path: str) -> Route | None:
    """The route of a path, as it came: percent signs are read in the places of names only. A slash at its end does not count."""
    path = path.rstrip("/") or "/"
    if path in ROUTES:
        return Route(path, ROUTES[path], {})
    segments = path.split("/")
    for pattern, template in _PATTERNS:
        if len(pattern) == len(segments) and all(
            want == found or (want.startswith("{") and found) for want, found in zip(pattern, segments, strict=True)
        ):
            given = {
                want[1:-1]: unquote(found) for want, found in zip(pattern, segments, strict=True) if want[:1] == "{"
            }
            return Route(template, ROUTES[template], given)
    return None
