"""The loop for one key: observe, plan, apply the world, prune, write status, tell.

Run by as many workers as `app` starts; each key by one at a time. Decides nothing itself: `core.plan` does. A turn
that fails anywhere is repeated from the start later, and ends in the same place, because the plan is the whole world.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Protocol

from crackseg_operator.api.names import Condition
from crackseg_operator.core.observe import observe
from crackseg_operator.core.observed import Observed
from crackseg_operator.core.plan import Plan, Settings, plan
from crackseg_operator.shell.apply import Applier, Gate, Retry
from crackseg_operator.shell.events import Recorder
from crackseg_operator.shell.kube import MODELS, ApiError, Kube, Object
from crackseg_operator.shell.leader import NotLeading
from crackseg_operator.shell.store import Key, Store
from crackseg_operator.shell.telemetry import Metrics
from crackseg_operator.shell.workqueue import WorkQueue

_log = logging.getLogger(__name__)


class WaitingGate(Gate, Protocol):
    """A gate that can be waited at."""

    async def wait(self) -> None:
        """Until this process may write."""


class Reconciler:
    """Carries a plan out."""

    def __init__(
        self, kube: Kube, store: Store, queue: WorkQueue[Key], gate: WaitingGate, applier: Applier, metrics: Metrics
    ) -> None:
        self._kube = kube
        self._store = store
        self._queue = queue
        self._gate = gate
        self._applier = applier
        self._metrics = metrics

    async def work(self, settings: Settings, recorder: Recorder) -> None:
        """Reconcile key after key, for ever."""
        while True:
            await self._gate.wait()
            key = await self._queue.get()
            with self._metrics.seconds.time():
                result = await self._take(key, settings, recorder)
            self._metrics.reconciles.labels(result).inc()

    async def _take(self, key: Key, settings: Settings, recorder: Recorder) -> str:
        """One turn and its end: done, or again later."""
        about = {"namespace": key.namespace, "model": key.name}
        try:
            await self._turn(key, settings, recorder)
        except NotLeading:
            self._queue.done(key)
            self._queue.add(key)
            return "not leading"
        except Retry as retry:
            delay = self._queue.failed(key, retry.after)
            _log.info("Again in %.2f s: %s", delay, retry, extra=about)
            return "retry"
        except Exception:  # noqa: BLE001 - one model's trouble must not stop the others
            delay = self._queue.failed(key)
            _log.exception("A fault of the operator's own; again in %.2f s", delay, extra=about)
            return "error"
        self._queue.done(key)
        return "ok"

    async def _turn(self, key: Key, settings: Settings, recorder: Recorder) -> None:
        model = self._store.model(key)
        if model is None or model["metadata"].get("deletionTimestamp"):
            self._queue.forget(key)  # its children are deleted by the garbage collector
            return
        decided = await self._apply_world(key, model, settings)
        await self._applier.prune(model, decided.prune)
        await self._apply_status(model, decided)
        self._tell(key, model, decided, recorder)
        self._schedule(key, model["metadata"]["uid"], decided)

    async def _apply_world(self, key: Key, model: Object, settings: Settings) -> Plan:
        """The plan whose world is now in place. What was refused on the way is planned with, before status tells."""
        uid = model["metadata"]["uid"]
        while True:
            before = self._applier.refusals(uid)
            decided = plan(self._observe(key, model), settings, time.time())
            await self._applier.world(model, decided.world)
            if self._applier.refusals(uid) == before:
                return decided

    def _observe(self, key: Key, model: Object) -> Observed:
        uid = model["metadata"]["uid"]
        return observe(model, self._store.children(key, uid), self._store.pods(key), self._applier.refusals(uid))

    async def _apply_status(self, model: Object, decided: Plan) -> None:
        """Write the status if it says anything new, onto the very object that the plan was made for."""
        if decided.status == model.get("status", {}):
            return
        self._metrics.writes.labels(MODELS.kind, "status").inc()
        meta = model["metadata"]
        try:
            with self._store.writing(MODELS.kind, meta["namespace"], meta["name"]):
                live = await self._kube.put_status(model, decided.status, self._gate.write_timeout)
                self._store.put(MODELS.kind, live)
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                await self._read_again(model)
            if error.status != HTTPStatus.NOT_FOUND:  # a deleted model needs no status
                raise Retry(str(error), error.retry_after) from error
        else:
            ready: Object = next(
                (entry for entry in decided.status["conditions"] if entry["type"] == Condition.READY), {}
            )
            about = {"namespace": meta["namespace"], "model": meta["name"]}
            _log.info("Status: %s: %s", ready.get("reason"), ready.get("message"), extra=about)

    async def _read_again(self, model: Object) -> None:
        """The view was old: the next turn starts from what is there now."""
        try:
            fresh = await self._kube.get(MODELS, model["metadata"]["namespace"], model["metadata"]["name"])
        except ApiError as error:
            raise Retry(str(error), error.retry_after) from error
        if fresh is not None:
            self._store.put(MODELS.kind, fresh)

    def _tell(self, key: Key, model: Object, decided: Plan, recorder: Recorder) -> None:
        about = {"namespace": key.namespace, "model": key.name}
        for event in decided.events:
            _log.info("%s: %s", event.reason, event.message, extra=about)
            recorder.tell(model, event)
        if decided.outcome:
            self._metrics.rollouts.labels(decided.outcome.result, decided.outcome.reason).inc()

    def _schedule(self, key: Key, uid: str, decided: Plan) -> None:
        delays = [delay for delay in (decided.requeue_after, self._applier.next_try(uid)) if delay is not None]
        if delays:
            self._queue.due(key, min(delays))


class Follower:
    """What `watch` tells of each event: keeps the store, wakes the model concerned."""

    def __init__(self, store: Store, queue: WorkQueue[Key], applier: Applier) -> None:
        self._store = store
        self._queue = queue
        self._applier = applier

    async def is_news(self, kind: str, raw: Object) -> bool:
        """Whether an added or modified object tells anything that is not known already."""
        if self._store.is_news(kind, raw):
            await self._store.settled(kind, raw)
        return self._store.is_news(kind, raw)

    def see(self, kind: str, what: str | None, raw: Object) -> None:
        """Take the event in. Its type is ADDED, MODIFIED, DELETED, or None where it was listed."""
        meta = raw["metadata"]
        if what == "DELETED":
            key = self._store.remove(kind, meta["namespace"], meta["name"], int(meta["resourceVersion"]))
            if kind == MODELS.kind:
                self._applier.forget(meta["uid"])
        else:
            key = self._store.put(kind, raw)
        if key is not None:
            self._queue.add(key)
