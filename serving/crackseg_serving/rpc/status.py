"""Errors on gRPC's wire: the one place that maps causes to status codes, and to the HTTP status that the metrics count them as."""

from __future__ import annotations

from typing import Final

from grpc import StatusCode

from crackseg_serving.failures import Cause, Refused

_CODES: Final[dict[Cause, tuple[StatusCode, int]]] = {
    Cause.BAD_REQUEST: (StatusCode.INVALID_ARGUMENT, 400),
    Cause.NOT_AN_IMAGE: (StatusCode.INVALID_ARGUMENT, 415),
    Cause.TRUNCATED_IMAGE: (StatusCode.INVALID_ARGUMENT, 422),
    Cause.CALIBRATION_FAILED: (StatusCode.INVALID_ARGUMENT, 422),
    Cause.WRONG_TENSOR: (StatusCode.INVALID_ARGUMENT, 400),
    Cause.TOO_MANY_PIXELS: (StatusCode.INVALID_ARGUMENT, 413),
    Cause.TOO_MANY_BYTES: (StatusCode.RESOURCE_EXHAUSTED, 413),
    Cause.NOT_READY: (StatusCode.UNAVAILABLE, 503),
    Cause.OVERLOADED: (StatusCode.RESOURCE_EXHAUSTED, 429),
    Cause.TIMED_OUT: (StatusCode.DEADLINE_EXCEEDED, 503),
    Cause.CLIENT_GONE: (StatusCode.CANCELLED, 499),
    Cause.OUT_OF_MEMORY: (StatusCode.RESOURCE_EXHAUSTED, 503),
    Cause.INFERENCE_FAILED: (StatusCode.INTERNAL, 500),
}


class Failure(Exception):  # noqa: N818 - not every failure is an error of ours
    """A call that ends with a status other than OK."""

    def __init__(self, code: StatusCode, counted: int, message: str, kind: str, retry_after: int | None = None) -> None:
        """`counted` is the HTTP status that the metrics have for it, `kind` the reason; `retry_after` is in seconds."""
        super().__init__(message)
        self.code, self.counted, self.message, self.kind = code, counted, message, kind
        self.retry_after = retry_after


def from_refusal(refused: Refused) -> Failure:
    """The failure that a refusal of the engine is on the wire."""
    code, counted = _CODES[refused.cause]
    return Failure(code, counted, refused.message, refused.cause.value, refused.retry_after)
