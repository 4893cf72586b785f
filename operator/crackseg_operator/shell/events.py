"""Kubernetes Events: told to people, off the way of the work, within a budget.

Called by `reconcile` after a decision is written. A full queue drops the oldest: an Event informs, nothing depends on
it. The same sentence about the same model is posted once in ten minutes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import secrets
from collections import deque
from collections.abc import Callable
from http import HTTPMethod
from typing import Any, Final

from crackseg_operator.api.names import API_VERSION, FIELD_MANAGER, KIND
from crackseg_operator.core.plan import Event
from crackseg_operator.shell.kube import EVENTS, ApiError, Kube, Object

_log = logging.getLogger(__name__)

_WAITING: Final = 1000  # Events that may wait to be posted
_REMEMBERED: Final = 2000
_REPEAT_AFTER: Final = 600.0  # seconds
_EVERY: Final = 0.02  # seconds between two posts: 50 a second at most
_LONGEST_NOTE: Final = 1024  # bytes the API server takes


class Recorder:
    """Posts Events one after another."""

    def __init__(self, kube: Kube, instance: str, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._queue: deque[dict[str, Any]] = deque(maxlen=_WAITING)
        self._told: dict[tuple[str, str, str], float] = {}
        self._wake = asyncio.Event()

    def tell(self, model: Object, event: Event) -> None:
        """Post this Event on the model, soon."""
        what = (model["metadata"]["uid"], event.reason, event.message)
        now = self._clock()
        if now - self._told.get(what, float("-inf")) < _REPEAT_AFTER:
            return
        self._told.pop(what, None)
        self._told[what] = now
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._queue.append(self._build(model, event))
        self._wake.set()

    async def run(self) -> None:
        """Post what waits, for ever. What the API server does not take is lost, and said so in the log."""
        while True:
            await self._wake.wait()
            while self._queue:
                event = self._queue.popleft()
                try:
                    await self._kube.call(HTTPMethod.POST, EVENTS.path(event["metadata"]["namespace"]), event)
                except ApiError as error:
                    _log.warning("The Event %s %r could not be posted: %s", event["reason"], event["note"], error)
                await asyncio.sleep(_EVERY)
            self._wake.clear()

    def _build(self, model: Object, event: Event) -> dict[str, Any]:
        meta = model["metadata"]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{meta['name'][:200]}.{secrets.token_hex(8)}", "namespace": meta["namespace"]},
            "eventTime": now,
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
            "action": event.action,
            "reason": event.reason,
            "type": event.type,
            "note": event.message.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
        }
