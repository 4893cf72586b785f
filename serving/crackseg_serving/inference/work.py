"""One inference request, as a worker thread does it: tensors from the wire, the model, tensors to the wire; each part timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.inference.tensors import Array
from crackseg_serving.statistics import Times

T = TypeVar("T")


def max_elements(engine: Engine) -> int:
    """The most elements that an input may have: three for each pixel that an image may have."""
    return 3 * engine.settings.max_pixels


def shorten(ticket: Ticket, timeout: float | None) -> None:
    """Let `ticket` end after `timeout` seconds where its request asks for that."""
    if timeout is not None:
        ticket.deadline = min(ticket.deadline, ticket.came + timeout)


def inference(
    engine: Engine, ticket: Ticket, read: Callable[[], tuple[Array, Sequence[str]]], write: Callable[[list[Array]], T]
) -> Callable[[], tuple[T, Times]]:
    """The work for one request: its result, and what took how long. `read` gives its tensor and which outputs it wants.

    Raises Refused.
    """
    queued = time.perf_counter()

    def work() -> tuple[T, Times]:
        began = time.perf_counter()
        items, names = read()
        have = time.perf_counter()
        outputs = engine.run_tensors(items, ticket, names)
        ran = time.perf_counter()
        result = write(outputs)
        done = time.perf_counter()
        engine.metrics.staged("decode", have - began)
        engine.metrics.staged("encode", done - ran)
        return result, Times(began - queued, have - began, ran - have, done - ran)

    return work
