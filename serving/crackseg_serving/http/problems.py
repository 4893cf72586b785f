"""Errors on the wire: problem documents (RFC 9457), and the one place that maps causes to status codes.

A document has `type` (urn:crackseg:problem:KIND), `title`, `status`, `detail` (what happened and what to do) and `instance`
(urn:request:ID). Below /v2 it also has `error`, as the Open Inference Protocol asks.
"""

from __future__ import annotations

from typing import Final

import orjson

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.messages import Response

_STATUS: Final[dict[Cause, tuple[int, str]]] = {
    Cause.BAD_REQUEST: (400, "Bad request"),
    Cause.NOT_AN_IMAGE: (415, "Not an image"),
    Cause.TRUNCATED_IMAGE: (422, "Truncated image"),
    Cause.CALIBRATION_FAILED: (422, "Calibration failed"),
    Cause.TOO_MANY_PIXELS: (413, "Too many pixels"),
    Cause.TOO_MANY_BYTES: (413, "Too many bytes"),
    Cause.WRONG_TENSOR: (400, "Wrong tensor"),
    Cause.NOT_READY: (503, "Not ready"),
    Cause.OVERLOADED: (429, "Too many requests"),
    Cause.TIMED_OUT: (503, "Timed out"),
    Cause.CLIENT_GONE: (499, "Client gone"),
    Cause.OUT_OF_MEMORY: (503, "Out of memory"),
    Cause.INFERENCE_FAILED: (500, "Inference failed"),
}
_LATER: Final = {Cause.NOT_READY: "2", Cause.OVERLOADED: "1", Cause.TIMED_OUT: "5", Cause.OUT_OF_MEMORY: "5"}


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that is a problem document; raised by handlers for errors that only HTTP knows."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers or {}

    @property
    def kind(self) -> str:
        """The last part of the document's type, and the metric's label."""
        return self.title.lower().replace(" ", "-")


def from_refusal(refused: Refused) -> Problem:
    """The problem document's content for a refusal of the engine."""
    status, title = _STATUS[refused.cause]
    later = str(refused.retry_after) if refused.retry_after else _LATER.get(refused.cause)
    return Problem(status, title, refused.message, {"Retry-After": later} if later else None)


def to_response(problem: Problem, path: str, request_id: str) -> Response:
    """The document."""
    document: dict[str, object] = {
        "type": f"urn:crackseg:problem:{problem.kind}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": f"urn:request:{request_id}",
    }
    if path.startswith("/v2"):
        document["error"] = problem.detail
    return Response(orjson.dumps(document), "application/problem+json", problem.status, problem.headers)
