"""Runs on a card: several sessions, each with a thread, a stream and buffers of its own, so that one computes while another's tensors travel.

Called through Session, in place of one session of ONNX Runtime. Knows arrays and where they lie; may not know providers or models.
"""

from __future__ import annotations

import itertools
import logging
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")

Array = NDArray[np.generic]
T = TypeVar("T")

#: The run option that names the recorded graph a run belongs to. CUDA records by shape, so each shape has a name of its own.
_GRAPH: Final = "gpu_graph_id"
_NO_GRAPH: Final = "-1"
_UNTIL_RECORDED: Final = 3  # two ordinary runs, which find kernels and memory, then the one that is recorded
_APART: Final = 1e-2  # of the range: a run and its recording compute the same, but perhaps with other kernels


@value
class Device:
    """Where tensors lie, in ONNX Runtime's words: `cuda` and a card's number, or `cpu`."""

    kind: str
    number: int = 0


class Lane:
    """One session on a card. What it is asked is done in its own thread: CUDA's recordings belong to the one that made them."""

    def __init__(self, start: Callable[[], Any], device: Device) -> None:
        """`start` opens the session. Raises what it raises."""
        self._device = device
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._bound: dict[tuple[int, ...], _Bound] = {}
        self._graphs = itertools.count(1)  # a name is not used twice: what was recorded under it would be played
        self._apart = onnxruntime.RunOptions()
        self._apart.add_run_config_entry(_GRAPH, _NO_GRAPH)
        threading.Thread(target=self._work, name=f"lane-{device.kind}-{device.number}", daemon=True).start()
        try:
            self.session = self._do(start)
        except BaseException:
            self.close()
            raise

    def run(self, names: Sequence[str], name: str, batch: Array) -> list[Array]:
        """The outputs for `batch`: through buffers on the card where the shape is prepared, else as any session would."""
        return self._do(lambda: self._run(names, name, batch))

    def prepare(self, output: str, name: str, batch: Array, *, record: bool) -> None:
        """Have buffers ready for runs of this shape, and with `record` a recording. Raises what the session raises."""
        self._do(lambda: self._prepare(output, name, batch, record=record))

    def works(self) -> bool:
        """Whether a run that went well at warm-up still does. After some of CUDA's errors none does, until a new process is there."""
        for bound in list(self._bound.values())[:1]:
            try:
                self._do(partial(self.session.run_with_iobinding, bound.binding, bound.options))
            except Exception:  # noqa: BLE001 - whatever it says, it does not run
                return False
        return True

    def forget(self, most: int) -> None:
        """Give back the buffers of runs of more than `most`."""
        for shape in [shape for shape in self._bound if shape[0] > most]:
            graph = self._bound.pop(shape).graph
            if graph != _NO_GRAPH:
                self._do(partial(self.session.release_captured_graph, int(graph)))

    def close(self) -> None:
        """End the thread; the session goes with the last who knows it."""
        self._asked.put(None)

    def _do(self, work: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._asked.put((work, future))
        return future.result()

    def _work(self) -> None:
        while asked := self._asked.get():
            work, future = asked
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to who asked, who would wait for ever otherwise
                future.set_exception(error)
            del asked, work, future  # the thread that waits keeps nobody's tensors

    def _run(self, names: Sequence[str], name: str, batch: Array) -> list[Array]:
        bound = self._bound.get(batch.shape)
        if bound is None or list(names) != [bound.output]:
            return list(self.session.run(list(names), {name: batch}, self._apart))
        return [self._through(bound, batch)]

    def _through(self, bound: _Bound, batch: Array) -> Array:
        bound.source.update_inplace(batch)
        self.session.run_with_iobinding(bound.binding, bound.options)
        found: Array = bound.binding.copy_outputs_to_cpu()[0]
        return found

    def _prepare(self, output: str, name: str, batch: Array, *, record: bool) -> None:
        expected = self.session.run([output], {name: batch}, self._apart)[0]
        bound = self._bind(output, name, batch, expected, graph=str(next(self._graphs)) if record else _NO_GRAPH)
        for _ in range(_UNTIL_RECORDED if record else 1):
            found = self._through(bound, batch)
        if record and _differ(found, expected):
            _LOG.warning(
                "a recorded run gives other figures: runs of %d are not recorded",
                len(batch),
                extra={"provider": self.session.get_providers()[0]},
            )
            bound = self._bind(output, name, batch, expected, graph=_NO_GRAPH)
        self._bound[batch.shape] = bound

    def _bind(self, output: str, name: str, batch: Array, expected: Array, *, graph: str) -> _Bound:
        options = onnxruntime.RunOptions()
        options.add_run_config_entry(_GRAPH, graph)
        binding = self.session.io_binding()
        source, target = (
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                array.shape, array.dtype, self._device.kind, self._device.number
            )
            for array in (batch, expected)
        )
        binding.bind_ortvalue_input(name, source)
        binding.bind_ortvalue_output(output, target)
        return _Bound(output, graph, source, binding, options)


@value
class _Bound:
    """Buffers on the card that runs of one shape use again and again."""

    output: str
    graph: str  # the name of its recording, or none
    source: Any
    binding: Any
    options: Any


class Lanes:
    """What looks like one session, and is one for each run that may be under way at once."""

    def __init__(self, starts: Sequence[tuple[Device, Callable[[], Any]]], *, record: bool) -> None:
        """`starts` open a session each, on their device; with `record` these can record runs. Raises what a start raises."""
        self._lanes: list[Lane] = []
        self._record = record
        self._free: SimpleQueue[Lane] = SimpleQueue()
        self.failed = ""  # what a card said that does not compute any more
        self._counts: dict[tuple[int, ...], list[int]] = {}  # of a prepared run, ascending, by an item's shape
        try:
            for device, start in starts:
                self._lanes.append(Lane(start, device))
        except BaseException:
            self.close()
            raise
        for lane in self._lanes:
            self._free.put(lane)

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def session(self) -> Any:
        """The first of them: all declare the same."""
        return self._lanes[0].session

    def get_providers(self) -> list[str]:
        """Those in use, best first."""
        return list(self.session.get_providers())

    def run(self, names: Sequence[str], feed: dict[str, Array]) -> list[Array]:
        """As a session's. A run of fewer items than a prepared one is filled up: a new shape would look for its kernels first."""
        ((name, batch),) = feed.items()
        filled = self._filled(batch)
        lane = self._free.get()
        try:
            outputs = lane.run(names, name, filled)
        except Exception as error:
            if not lane.works():
                self.failed = str(error)
            raise
        finally:
            self._free.put(lane)
        return outputs if filled is batch else [output[: len(batch)] for output in outputs]

    def prepare(self, output: str, name: str, batch: Array) -> None:
        """Have every lane ready for runs of this shape. For the warm-up, before anything else runs."""
        counts = self._counts.setdefault(batch.shape[1:], [])
        if len(batch) in counts:
            return
        for lane in self._lanes:
            lane.prepare(output, name, batch, record=self._record)
        insort(counts, len(batch))

    def forget(self, most: int) -> None:
        """Give back what was prepared for runs of more than `most`."""
        for lane in self._lanes:
            lane.forget(most)
        self._counts = {item: [count for count in counts if count <= most] for item, counts in self._counts.items()}

    def close(self) -> None:
        """End the lanes' threads."""
        for lane in self._lanes:
            lane.close()

    def _filled(self, batch: Array) -> Array:
        counts = self._counts.get(batch.shape[1:], [])
        place = bisect_left(counts, len(batch))
        if place == len(counts) or counts[place] == len(batch):
            return batch
        filled = np.zeros((counts[place], *batch.shape[1:]), batch.dtype)
        filled[: len(batch)] = batch
        return filled


def _differ(found: Array, expected: Array) -> bool:
    one, other = np.asarray(found, np.float32), np.asarray(expected, np.float32)
    # Written so that what is no number differs from every number.
    return not float(np.abs(one - other).max()) <= _APART * max(float(np.ptp(other)), 1e-6)
