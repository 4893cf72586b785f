"""What the operator says about itself: metrics, health, JSON logs.

Wired by `app`; the other rooms count here. Health is judged from progress: how long models have waited and none moved,
and when each watch was last opened, not from a socket that answers. Never holds a secret.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from typing_extensions import override

from crackseg_operator.api.names import Metric

#: Models that wait while none is begun or ended for this long are not being worked on: every call of a worker ends sooner.
_STUCK_SECONDS: Final = 120.0
#: One turn makes a dozen calls one after another at most, each of which ends within half a minute.
_ENDLESS_SECONDS: Final = 600.0
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Metrics:
    """The operator's own figures, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the number of series and tell nothing here
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            Metric.RECONCILES, "Turns of the loop, by result.", ["result"], registry=self.registry
        )
        self.seconds = Histogram(
            Metric.RECONCILE_SECONDS,
            "Duration of one turn of the loop.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.writes = Counter(Metric.WRITES, "Writes to the API server.", ["kind", "verb"], registry=self.registry)
        self.rollouts = Counter(
            Metric.ROLLOUTS, "Rollouts that ended, by result and reason.", ["result", "reason"], registry=self.registry
        )
        self.depth = Gauge(Metric.QUEUE_DEPTH, "Models that wait to be reconciled.", registry=self.registry)
        self.age = Gauge(Metric.QUEUE_AGE, "How long the oldest of them has waited.", registry=self.registry)
        self.leader = Gauge(Metric.LEADER, "1 where this process may write.", registry=self.registry)
        self.models = Gauge(Metric.MODELS, "CrackSegModels known.", registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class Health:
    """Whether the operator gets on. Each check returns a sentence that says what is wrong, or nothing."""

    def __init__(
        self,
        stuck_for: Callable[[], float],
        longest_work: Callable[[], float],
        stale_watches: Callable[[], list[str]],
    ) -> None:
        self._stuck_for = stuck_for
        self._longest_work = longest_work
        self._stale_watches = stale_watches
        self.started = False

    def alive(self) -> str:
        """A restart would help."""
        if (seconds := self._stuck_for()) > _STUCK_SECONDS:
            return f"Models wait, and for {seconds:.0f} s none was begun or ended."
        if (seconds := self._longest_work()) > _ENDLESS_SECONDS:
            return f"A model has been worked on for {seconds:.0f} s."
        if stale := self._stale_watches():
            return f"No watch was opened for too long: {', '.join(stale)}."
        return ""

    def ready(self) -> str:
        """The store is filled, so the operator can do its work."""
        return "" if self.started else "The cluster has not been listed yet."


class Endpoints:
    """The HTTP side: /metrics on one port, /healthz and /readyz on the other."""

    def __init__(self, metrics: Metrics, health: Health, refresh: Callable[[], None]) -> None:
        self._metrics = metrics
        self._health = health
        self._refresh = refresh
        self._runners: list[web.AppRunner] = []

    async def start(self, metrics_port: int, health_port: int) -> None:
        """Listen; port 0 is off."""
        routes = {
            metrics_port: [web.get("/metrics", self._show_metrics)],
            health_port: [web.get("/healthz", self._show_alive), web.get("/readyz", self._show_ready)],
        }
        if metrics_port == health_port:
            routes[health_port].append(web.get("/metrics", self._show_metrics))
        for port, handlers in routes.items():
            if port:
                app = web.Application()
                app.add_routes(handlers)
                runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
                await runner.setup()
                self._runners.append(runner)
                await web.TCPSite(runner, None, port, reuse_address=True).start()

    async def stop(self) -> None:
        """Stop listening."""
        while self._runners:
            await self._runners.pop().cleanup()

    async def _show_metrics(self, _: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _show_alive(self, _: web.Request) -> web.Response:
        return _verdict(self._health.alive())

    async def _show_ready(self, _: web.Request) -> web.Response:
        return _verdict(self._health.ready())


def _verdict(trouble: str) -> web.Response:
    return web.Response(text=(trouble or "ok") + "\n", status=503 if trouble else 200)


class JSONFormatter(logging.Formatter):
    """One JSON object a line; what is given as `extra` becomes fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs(level: str) -> None:
    """JSON lines on standard error. kopf's own chatter is kept to warnings: every line of ours names a model."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(level if level in ("DEBUG", "ERROR") else "WARNING")
