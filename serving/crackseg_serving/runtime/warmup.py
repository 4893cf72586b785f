"""The first real runs: they show what the model gives, and make the session's memory and kernels ready.

Called by the engine before it says that it is ready.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.imaging import to_tensor
from crackseg_serving.runtime.curve import Batching, choose_batching
from crackseg_serving.runtime.session import Session
from crackseg_serving.runtime.settling import settle
from crackseg_serving.runtime.signature import tile_shape
from crackseg_serving.runtime.unloadable import sentence
from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")

_TRIES: Final = 4  # runs in which a provider shows how fast it is
_ENOUGH: Final = 2.0  # seconds of them: what is so slow is timed well by less
_APART: Final = 0.02  # of the range: providers that round differently are much nearer to each other
_SMALL: Final = 64  # pixels: enough to try a batch, too small to cost time
#: What doubling a batch must bring, on a card and on a processor: there the noise of others is larger, and the gain small.
_GAIN: Final = {False: 1.1, True: 1.5}
_DOUBLES: Final = (1, 2, 4, 8, 16, 32, 64, 128)  # images in the runs that a card is prepared for
_LONG_RUN: Final = 0.01  # seconds: a hundred times what a processor does for a run besides the model
_SMALL_RUN: Final = 0.004  # seconds: waking the other cores takes as long as they save


@value
class Warmth:
    """What the first runs showed."""

    batch_size: int  # the most images in a run
    delay: float  # seconds that an image may wait for others, where the batching is found and not given
    slowest: float  # seconds of the slowest run
    elements: int  # of the smallest run that was timed so: what larger ones may take follows from it


def warm_up(session: Session, size: int | tuple[int, int], batch_size: int | None) -> Warmth:
    """Run `session` as it will be run, and settle its signature: at the tile size, on all cores too, in batches.

    `batch_size` None finds out what pays. Raises ModelFailure (ContractMismatch, OutOfMemory).
    """
    tile = tile_shape(session.signature, size)
    clock = _clock(session)
    began, spent = time.perf_counter(), clock()
    output = run_probe(session, tile, 1)
    slowest, narrow = time.perf_counter() - began, clock() - spent
    session.signature = settle(session.signature, output, tile)
    if session.can_run_wide:
        slowest = max(slowest, _warm_wide(session, tile, narrow))
    if batch_size is None and session.on_cpu and narrow > _LONG_RUN:
        batching = Batching(1, 0.0)
    elif batch_size is None:
        batching = choose_batching(lambda count: _time_batch(session, tile, count), _GAIN[session.on_cpu])
    else:
        batching = Batching(batch_size, 0.0)
        if session.signature.batch is None and batch_size > 1:
            slowest = max(slowest, _try_batch(session, tile, batch_size))
    most = min(batching.size, session.signature.batch or batching.size)
    if not session.on_cpu:
        slowest = max(slowest, _prepare(session, tile, most))
    return Warmth(most, batching.delay, slowest, int(np.prod(tile)) * 3)


def fastest(sessions: list[Session], size: int | tuple[int, int]) -> Session:
    """The session whose run on one core at the tile size is shortest, of the first and of those that give what it gives.

    Raises ModelFailure (ContractMismatch, OutOfMemory) where the first cannot be run.
    """
    best = sessions[0]
    tile = tile_shape(best.signature, size)
    if len(sessions) == 1:
        return best
    expected = np.asarray(run_probe(best, tile, 1), np.float32)
    (cost,) = costs_of([best], tile)
    for session in sessions[1:]:
        try:
            found = np.asarray(run_probe(session, tile, 1), np.float32)
            (took,) = costs_of([session], tile)
        except ModelFailure as failure:
            _LOG.warning("the model cannot be run there: %s", failure.message, extra={"provider": session.provider})
            continue
        if found.shape != expected.shape or _apart(found, expected) > _APART:
            _LOG.warning("gives other figures than ONNX Runtime alone", extra={"provider": session.provider})
        elif took < cost:
            best, cost = session, took
    return best


def costs_of(sessions: Sequence[Session], tile: tuple[int, int], tries: int = _TRIES) -> list[float]:
    """Seconds of the cheapest of a few runs of each, taken in turn, so that what else the machine does meets all of them.

    On a processor they are of its time; those of other programs are not counted.
    """
    took: list[list[float]] = [[] for _ in sessions]
    while len(took[0]) < tries and sum(took[0]) < _ENOUGH:
        for session, times in zip(sessions, took, strict=True):
            clock = _spent if session.on_cpu else time.perf_counter
            began = clock()
            run_probe(session, tile, 1)
            times.append(clock() - began)
    return [min(times) for times in took]


def _spent() -> float:
    """CPU seconds of the process; where this is not its main thread, without those of that one, which imports meanwhile.

    The thread's own clock would not do: OpenVINO computes in threads of its own.
    """
    main = threading.main_thread()
    if threading.current_thread() is main or main.ident is None:
        return time.process_time()
    return time.process_time() - time.clock_gettime(time.pthread_getcpuclockid(main.ident))


def _apart(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The mean difference, as a share of the range of what is expected."""
    return float(np.abs(found - expected).mean() / max(float(np.ptp(expected)), 1e-6))


def _clock(session: Session) -> Callable[[], float]:
    """What a run of `session` is timed by: where it can be told, the processor's time that it has, whoever else uses that."""
    return time.thread_time if session.in_caller else time.perf_counter


def _warm_wide(session: Session, tile: tuple[int, int], narrow: float) -> float:
    """Seconds of a run on all cores, unless the model is too small for one."""
    if narrow < 5 * _SMALL_RUN and _is_small(session, tile):
        session.keep_narrow()
        return 0.0
    began = time.perf_counter()
    run_probe(session, tile, 1, wide=True)
    return time.perf_counter() - began


def _is_small(session: Session, tile: tuple[int, int]) -> bool:
    """Whether a run that has its kernels and its memory is small, without making its input."""
    batch, clock = to_tensor([probe(tile)], session.signature.input_format), _clock(session)
    for _ in range(_TRIES):
        began = clock()
        session.run(batch)
        if clock() - began < _SMALL_RUN:
            return True
    return False


def _time_batch(session: Session, tile: tuple[int, int], count: int) -> float | None:
    """Seconds of a run of `count` tiles, or None where it cannot be.

    On the processor those that the run had, whoever else uses it, and of tiles half as wide and high: the memory of large
    batches would stay.
    """
    fixed = session.signature.batch
    if fixed is not None and count > fixed:
        return None
    clock = _clock(session)
    if session.on_cpu:
        tile = tile_shape(session.signature, max(_SMALL, min(tile) // 2))
    took = []
    try:
        if not session.on_cpu:
            _prepare_run(session, tile, count)
        for _ in range(2):  # the first finds its kernels and its memory
            began = clock()
            run_probe(session, tile, count)
            took.append(clock() - began)
    except ModelFailure:
        if count == 1:
            raise
        return None
    return min(took)


def _try_batch(session: Session, tile: tuple[int, int], batch_size: int) -> float:
    """A graph may declare an open batch and hold a reshape that is not: then images are run one by one."""
    began = time.perf_counter()
    try:
        if session.on_cpu:
            run_probe(session, tile_shape(session.signature, min(_SMALL, tile[0])), 2)
        else:
            run_probe(session, tile, batch_size)  # the card chooses its kernels for this very size
    except ModelFailure as failure:
        if failure.reason != "ContractMismatch":
            raise
        session.signature = replace(session.signature, batch=1)
    return time.perf_counter() - began


def _prepare(session: Session, tile: tuple[int, int], most: int) -> float:
    """Have a card ready for runs of 1, 2, 4 … `most` images, and for no others: the seconds of the slowest."""
    session.forget(most)
    fixed = session.signature.batch
    counts = [fixed] if fixed else [*itertools.takewhile(lambda count: count < most, _DOUBLES), most]
    slowest = 0.0
    for count in counts:
        _prepare_run(session, tile, count)
        began = time.perf_counter()
        run_probe(session, tile, count)
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


def _prepare_run(session: Session, tile: tuple[int, int], count: int) -> None:
    batch = to_tensor([probe(tile)] * count, session.signature.input_format)
    with _explained(session, tile, count):
        session.prepare(batch)


def run_probe(session: Session, tile: tuple[int, int], count: int, *, wide: bool = False) -> NDArray[np.generic]:
    """The output for `count` tiles of what shows most of a model. Raises ModelFailure (ContractMismatch, OutOfMemory)."""
    batch = to_tensor([probe(tile)] * count, session.signature.input_format)
    with _explained(session, tile, count):
        output = session.run_wide(batch) if wide else session.run(batch)
    if output.shape[:1] != (count,):
        raise ModelFailure(
            "ContractMismatch", f"expected {count} mask(s) for {count} image(s), found an output {list(output.shape)}"
        )
    return output


@contextmanager
def _explained(session: Session, tile: tuple[int, int], count: int) -> Iterator[None]:
    """What the library raises, as a ModelFailure."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean the same
        if is_memory(error):
            raise ModelFailure(
                "OutOfMemory",
                f"a run on a tile of {tile[0]} x {tile[1]} pixels does not fit into memory: raise the limit or use smaller tiles",
            ) from None
        raise ModelFailure(
            "ContractMismatch",
            f"the warm-up run with {count} x {tile[0]} x {tile[1]} pixels into {session.signature.input} failed: {sentence(error)}",
        ) from None


def probe(tile: tuple[int, int]) -> NDArray[np.uint8]:
    """Black, white and noise: if a model has logits to show, it shows them here."""
    scattered = np.arange(tile[0] * tile[1] * 3, dtype=np.uint32) * np.uint32(2_654_435_761) >> np.uint32(24)
    image = scattered.astype(np.uint8).reshape(*tile, 3)
    image[: tile[0] // 4] = 0
    image[tile[0] // 4 : tile[0] // 2] = 255
    return image
