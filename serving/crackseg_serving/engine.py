"""The data plane: load a model, be ready, segment images, run tensors. No word of HTTP.

`segmentation` and `inference` run in the engine's worker threads; the images and tensors of all requests meet in one Batcher
before the session. A request that cannot be served raises Refused, a model that cannot be served ModelFailure.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from crackseg_serving.admission import Admission, Ticket
from crackseg_serving.batching import Array, Batcher, Outputs, Way, Wide
from crackseg_serving.failures import Cause, Refused, is_memory
from crackseg_serving.memory import Reserve
from crackseg_serving.metrics import Metrics
from crackseg_serving.settings import Settings
from crackseg_serving.values import value
from crackseg_serving.workers import Workers

if TYPE_CHECKING:
    from crackseg_serving.runtime.loading import Loaded
    from crackseg_serving.runtime.session import Session
    from crackseg_serving.runtime.signature import Signature
    from crackseg_serving.runtime.warmup import Warmth

T = TypeVar("T")

_HUNG_SECONDS: Final = 30.0  # after this, or after _HUNG_TIMES the slowest run of the warm-up, a run is taken to hang
_HUNG_TIMES: Final = 20
_MOST_ASIDE: Final = 64  # long requests that go on without a place, a thread each
#: Of a model that has none: the protocol's tools take a version for a number, and Triton's perf_analyzer ends at a word.
_VERSION: Final = "1"
_RESERVE: Final = 160 << 20  # bytes for the interpreter, its libraries and a small model


@value
class Model:
    """What is being served."""

    name: str
    version: str
    digest: str  # "sha256:<64 hex>"
    provider: str
    precision: str  # in which it is computed
    signature: Signature
    threshold_percent: int
    tile: tuple[int, int]  # height, width of what a run takes
    whole: bool  # a picture is scaled to that size and run once, and not cut into tiles
    properties: dict[str, str]  # the model's own metadata, as written


@value
class State:
    """Where the engine stands: a reason in one word, a sentence for a person."""

    reason: str
    message: str

    @property
    def ready(self) -> bool:
        """Whether new requests should come."""
        return self.reason == "Serving"


class Engine:
    """One model, one session, one batcher, and the threads that decode, stitch, measure and encode around them."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        room = max(settings.memory_limit - _RESERVE, settings.memory_limit // 2)
        most = settings.workers + settings.max_queue
        self.admission = Admission(
            max_requests=most,
            memory=room,
            timeout=settings.request_timeout,
            places=settings.workers,
            max_wait=settings.max_wait,
            reserve=Reserve(settings.memory_limit),
        )
        self._workers = Workers(settings.workers, settings.workers + _MOST_ASIDE, self._worked)
        self._state = State("Starting", "the model is being loaded")
        self._model: Model | None = None
        self._way: Callable[[tuple[str, ...]], Way]  # to run for several outputs; the same for the same names
        self._session: Session | None = None
        self._batcher: Batcher | None = None
        self._warmth: Warmth | None = None
        self._started = time.monotonic()
        metrics.watch(self.queue_depth, lambda: self.state.ready)

    @property
    def model(self) -> Model:
        """The served model. Raises Refused (NOT_READY) before it is loaded."""
        if self._model is None:
            waited = time.monotonic() - self._started
            raise Refused(Cause.NOT_READY, f"{self.state.message} (for {waited:.0f} s so far): try again later")
        return self._model

    @property
    def state(self) -> State:
        """Where the engine stands now."""
        for seconds, elements in self._batcher.under_way if self._batcher else ():
            allowed = self._allowed(elements)
            if seconds > allowed:
                return State(
                    "Hung",
                    f"a run of the model has not ended after {seconds:.0f} s, and should take less than {allowed:.0f} s",
                )
        if self._session and self._session.failed:
            line = self._session.failed.strip().partition("\n")[0][:300]
            return State("CardFailed", f"the card no longer computes: {line}")
        return self._state

    @property
    def alive(self) -> bool:
        """Whether going on makes sense: only a new process cures a session that hangs, or whose card has failed."""
        return self.state.reason not in {"Hung", "CardFailed"}

    @property
    def version(self) -> str:
        """The version that every answer carries: the served one, or, while the model loads, the one of the settings."""
        return self._model.version if self._model else self.settings.model_version or "unknown"

    def summary(self) -> dict[str, object]:
        """The served model as fields of a log line."""
        model = self.model
        return {
            "model": model.name,
            "version": model.version,
            "digest": model.digest,
            "provider": model.provider,
            "precision": model.precision,
        }

    def queue_depth(self) -> float:
        """Requests waiting for a worker, and tiles waiting for a run."""
        return self._workers.waiting + (self._batcher.depth if self._batcher else 0)

    def use(self, loaded: Loaded) -> None:
        """Answer with this model from now on."""
        settings, session, warmth = self.settings, loaded.session, loaded.warmth
        self._session, self._warmth = session, warmth
        delay = settings.batch_delay if settings.batch_size else warmth.delay
        self._batcher = Batcher(
            session.run,
            size=warmth.batch_size,
            # Waiting for more tiles pays on a card; a free processor had better start at once.
            delay=0.0 if session.on_cpu else delay,
            runners=session.lanes or settings.processors,
            wide=Wide(session.run_wide, lambda: self._workers.busy <= 1) if session.can_run_wide else None,
            observe=self.metrics.ran,
        )
        self._way = lru_cache(64)(lambda names: lambda items: Outputs(session.run_outputs(items, names)))
        self._model = model = _describe(settings, loaded)
        self.metrics.serving(model.name, model.version, model.digest, model.provider, model.precision)
        if not session.on_cpu:
            self._watch_cards()

    def _watch_cards(self) -> None:
        from crackseg_serving.runtime import nvml

        if nvml.can_read():
            self.metrics.watch_cards(nvml.card_memory)

    def serve(self) -> None:
        """Be ready: the model is loaded, and every port listens."""
        self._state = State("Serving", "the model is loaded and warm")

    def drain(self) -> None:
        """No longer ready; requests that still come are answered."""
        self._state = State("Draining", "the server has been asked to stop")

    def start(self, work: Callable[[], T], ticket: Ticket) -> Future[T]:
        """Do `work` in a worker thread, unless its ticket has expired or its client is gone by then."""

        def begin() -> T:
            try:
                return work()
            except Exception as error:
                if not is_memory(error):
                    raise
                raise Refused(
                    Cause.OUT_OF_MEMORY, "the server ran out of memory for this request: send a smaller image"
                ) from error

        return self._workers.start(begin, ticket)

    def _worked(self, waited: float, held: float) -> None:
        self.metrics.staged("queue", waited)
        self.admission.worked(held)

    def _allowed(self, elements: int) -> float:
        """How long a run of so many elements may take before it is taken to hang, in seconds."""
        assert self._warmth is not None
        times = max(1.0, elements / self._warmth.elements)
        return max(_HUNG_SECONDS, _HUNG_TIMES * self._warmth.slowest * times)

    def run_tensors(self, items: Array, ticket: Ticket, names: Sequence[str]) -> list[Array]:
        """The model's raw outputs of these names for its raw input [n, ...], split over all runners in runs of at most the batch size."""
        way = None if list(names) == [self.model.signature.output.name] else self._way(tuple(names))
        assert self._batcher is not None  # a model is loaded before anything is asked of it
        with self.metrics.stage("inference"):
            step = self._batcher.share(len(items))
            starts = range(0, len(items), step)
            futures = deque(
                self._put(items[start : start + step], ticket, way, more=start != starts[-1]) for start in starts
            )
            found = [self.wait(futures.popleft(), ticket, futures) for _ in range(len(futures))]
        parts = [part.arrays if isinstance(part, Outputs) else [part] for part in found]
        if len(parts) == 1:
            return list(parts[0])
        import numpy as np

        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    @property
    def tiles_in_flight(self) -> int:
        """How many tiles of one image may wait or run at once: enough to keep every runner busy, few enough to be fair."""
        assert self._batcher is not None
        return 2 * self._batcher.width

    def submit(self, items: Array, ticket: Ticket | None = None, *, more: bool = False) -> Future[Array]:
        """Put `items` [n, ...] into the next runs of the model, taking turns with other tickets; `more` items of the same will follow.

        Called by work that `start` began: if it has more tiles than can be in flight at once, it gives up its place to others.
        """
        return self._put(items, ticket, None, more=more)

    def _put(self, items: Array, ticket: Ticket | None, way: Way | None, *, more: bool) -> Future[Any]:
        assert self._batcher is not None
        if ticket is not None:
            ticket.runs += 1
            if ticket.runs > self.tiles_in_flight:
                self._workers.step_aside()
        return self._batcher.submit(items, ticket, more=more, way=way)

    def wait(self, future: Future[T], ticket: Ticket, others: deque[Future[T]]) -> T:
        """The result of `future`. If it fails, `others` are taken out of the queue, and Refused is raised."""
        try:
            ticket.check()
            return future.result(ticket.remaining)
        except BaseException as error:
            for one in (future, *others):
                one.cancel()
            if isinstance(error, FutureTimeout | CancelledError):
                ticket.check()
            if isinstance(error, Refused | MemoryError):
                raise
            line = str(error).strip().partition("\n")[0][:300]
            raise Refused(Cause.INFERENCE_FAILED, f"the model could not be run on this input: {line}") from error


def _describe(settings: Settings, loaded: Loaded) -> Model:
    """The model as served: the settings decide, then the model's own metadata."""
    session, signature = loaded.session, loaded.session.signature
    return Model(
        name=settings.model_name or signature.metadata.name or "model",
        version=settings.model_version or signature.metadata.version or _VERSION,
        digest=loaded.digest,
        provider=session.provider,
        precision=session.precision,
        signature=signature,
        threshold_percent=settings.threshold_percent or signature.metadata.threshold_percent,
        tile=loaded.tile,
        whole=loaded.whole,
        properties=session.properties,
    )
