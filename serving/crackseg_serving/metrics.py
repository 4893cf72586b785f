"""What the server counts and times, in Prometheus' terms; docs/server.md lists every name.

One Metrics per engine, with a registry of its own. Label values come from closed lists, so their number is bounded.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from crackseg_serving.batching import Run
from crackseg_serving.contract import QUEUE_DEPTH_METRIC
from crackseg_serving.statistics import Statistics

if TYPE_CHECKING:
    from crackseg_serving.runtime.nvml import CardMemory

STAGES = ("fetch", "queue", "decode", "inference", "encode")
#: Request ids that every OpenMetrics parser can read; the format allows 128 characters for an exemplar's names and values together.
_EXEMPLAR = re.compile(r"[\w.:/+=-]{1,100}", re.ASCII)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The server's metrics."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.statistics = Statistics()
        ProcessCollector(registry=registry)
        self._requests = self._histogram(
            "crackseg_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            labels=("endpoint", "code"),
        )
        stages = self._histogram(
            "crackseg_stage_duration_seconds",
            "Time in one stage: fetch (an image from its URL), queue (waiting for a worker), decode, inference (a whole image), encode.",
            labels=("stage",),
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._waited = self._histogram(
            "crackseg_batch_wait_seconds", "How long the oldest tile of a run waited for it."
        )
        self._batches = self._histogram(
            "crackseg_batch_size", "Tiles or tensors in one run of the model.", buckets=_SIZES
        )
        runs = self._histogram(
            "crackseg_run_duration_seconds",
            "Time of one run of the model, by the cores that it had: one (or a card), or all because nothing else ran.",
            labels=("cores",),
        )
        self._runs = {cores: runs.labels(cores) for cores in ("one", "all")}
        self.in_flight = self._gauge("crackseg_requests_in_flight", "Requests being read, waiting or worked on.")
        self.rejected = Counter(
            "crackseg_requests_rejected", "Requests without a result, by cause.", ["reason"], registry=registry
        )
        self.tiles_computed, self.tiles_skipped = _tiles(registry)
        self._queue = self._gauge(QUEUE_DEPTH_METRIC, "Requests waiting for a worker, and tiles waiting for a run.")
        self._model = self._gauge(
            "crackseg_model_info",
            "1, with what is served as labels.",
            *("name", "version", "digest", "provider", "precision"),
        )
        self._ready = self._gauge("crackseg_ready", "1 while the server answers that it is ready.")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.staged(name, time.perf_counter() - start)

    def staged(self, name: str, seconds: float) -> None:
        """One stage took `seconds`."""
        self._stages[name].observe(seconds)

    def answered(self, endpoint: str, status: int, seconds: float, request_id: str) -> None:
        """One request has its answer; its id is the exemplar of its duration, in OpenMetrics."""
        child = self._requests.labels(endpoint, str(status))
        child.observe(seconds, {"request_id": request_id} if _EXEMPLAR.fullmatch(request_id) else None)

    def ran(self, run: Run) -> None:
        """One run of the model has ended."""
        self.statistics.ran(run.size, run.seconds)
        self._batches.observe(run.size)
        self._waited.observe(run.waited)
        self._runs["all" if run.wide else "one"].observe(run.seconds)

    def watch(self, queue_depth: Callable[[], float], ready: Callable[[], bool]) -> None:
        """Where gauges get their values at scrape time."""
        self._queue.set_function(queue_depth)
        self._ready.set_function(lambda: float(ready()))

    def watch_cards(self, read: Callable[[], Sequence[CardMemory]]) -> None:
        """Where the memory of cards comes from at scrape time."""
        self.registry.register(_Cards(read))

    def serving(self, name: str, version: str, digest: str, provider: str, precision: str) -> None:
        """What is served, and how it is computed."""
        self._model.labels(name, version, digest, provider, precision).set(1)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics in the format that `accept` prefers, and its content type; exemplars are in OpenMetrics only."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Cards(Collector):
    """Memory of cards, asked of their driver when it is read."""

    def __init__(self, read: Callable[[], Sequence[CardMemory]]) -> None:
        self._read = read

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory = GaugeMetricFamily(
            "crackseg_device_memory_bytes",
            "Memory of a card, by state: used (by whoever shares it) and total.",
            labels=("card", "state"),
        )
        for one in self._read():
            memory.add_metric((str(one.card), "used"), one.used)
            memory.add_metric((str(one.card), "total"), one.total)
        yield memory


def _tiles(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    tiles = Counter("crackseg_tiles", "Tiles of images: computed, or skipped as empty.", ["outcome"], registry=registry)
    return tiles.labels("computed"), tiles.labels("skipped")
