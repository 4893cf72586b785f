"""What can go wrong, in the words of the domain and not of HTTP: a model that cannot be served, a request that is refused.

Raised in every room of the server. The two commands turn a ModelFailure into a termination message; HTTP and gRPC turn a Refused
into their own kind of error. Knows the contract's reasons; may not know status codes.
"""

from __future__ import annotations

from enum import StrEnum

from crackseg_serving.contract import Report


class ModelFailure(Exception):  # noqa: N818 - a word of the domain, as Refused is
    """The model cannot be fetched or served; `reason` is one of the contract's REPORTED_REASONS."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def report(self) -> Report:
        """What goes into the termination message."""
        return Report(reason=self.reason, message=self.message)


class Cause(StrEnum):
    """Why a request was not answered with a result; also the label of the rejected-requests metric."""

    BAD_REQUEST = "bad-request"
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED_IMAGE = "truncated-image"
    CALIBRATION_FAILED = "calibration-failed"
    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_MANY_BYTES = "too-many-bytes"
    WRONG_TENSOR = "wrong-tensor"
    NOT_READY = "not-ready"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed-out"
    CLIENT_GONE = "client-gone"
    OUT_OF_MEMORY = "out-of-memory"
    INFERENCE_FAILED = "inference-failed"


class Refused(Exception):  # noqa: N818 - it is the request that was refused, and handlers read `except Refused`
    """One request has no result; the server goes on."""

    def __init__(self, cause: Cause, message: str, retry_after: int | None = None) -> None:
        """`retry_after`: after how many seconds the same request may succeed, if the server can tell."""
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.retry_after = retry_after


def let_go(error: BaseException) -> None:
    """Release what an error still references after it has been answered: frames that hold the request's bytes and pixels.

    A future, its error and the frame that waited for it form a cycle, which would stay until the garbage collector runs.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None


_NO_MEMORY = ("bad_alloc", "failed to allocate memory", "out of memory", "insufficient memory")


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, whoever noticed it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)
