"""Makes the cluster match a plan: one server-side apply for each child that differs, deletion of what is not wanted.

Called by `reconcile` with the world that the core decided. Decides only whether a write is needed and whether it is
allowed: an object of somebody else is never touched. What the API server refuses is remembered and tried again
later and later, or at once when the wish changes; what it could not do now is a Retry.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from crackseg_operator.api.names import ANNOTATION_APPLIED, KIND, LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGED_BY, Reason
from crackseg_operator.core.observed import ChildKey, Refusal
from crackseg_operator.shell.compare import Differences, differences
from crackseg_operator.shell.kube import RESOURCES, ApiError, Kube, Object
from crackseg_operator.shell.store import Key, Store, controller
from crackseg_operator.shell.telemetry import Metrics
from crackseg_operator.shell.workqueue import backoff

_log = logging.getLogger(__name__)

#: No object has this resourceVersion: an apply that carries it creates, or fails where something is there already.
_NO_VERSION: Final = "1"
#: How often a refused child is tried: as a failing key would be after this many failures (0.3 s), then doubled.
_REFUSED_BEFORE: Final = 7
#: The same wish is written over somebody else's changes so many times in so many seconds.
_REPAIRS: Final = 10
_REPAIRS_SECONDS: Final = 10.0
#: A model whose namespace is being deleted goes as well; until then it is looked at this often, in seconds.
_NAMESPACE_GOES: Final = 10.0
_ANSWERED_REFUSALS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


class Retry(Exception):  # noqa: N818 - it reads as what it asks for
    """The work could not be done now; `after` is what the API server asked for, in seconds."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Gate(Protocol):
    """Whether this process may write."""

    def write_timeout(self) -> float:
        """How long a write that starts now may take, in seconds; raises NotLeading."""


@dataclass(slots=True)
class _Refused:
    refusal: Refusal
    wish: str  # hash of what was refused
    times: int
    again: float  # when it is tried again


class Applier:
    """Writes children. Remembers, for each model by uid, what was refused and what the API server made of our fields."""

    def __init__(self, kube: Kube, store: Store, gate: Gate, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._store = store
        self._gate = gate
        self._metrics = metrics
        self._clock = clock
        self._refused: dict[str, dict[ChildKey, _Refused]] = {}
        self._accepted: dict[str, dict[ChildKey, tuple[str, Differences]]] = {}
        self._repairs: dict[str, dict[ChildKey, tuple[str, deque[float]]]] = {}

    def forget(self, uid: str) -> None:
        """The model is gone."""
        self._refused.pop(uid, None)
        self._accepted.pop(uid, None)
        self._repairs.pop(uid, None)

    def refusals(self, uid: str) -> dict[ChildKey, Refusal]:
        """What the last apply could not write, and why."""
        return {child: refused.refusal for child, refused in self._refused.get(uid, {}).items()}

    def next_try(self, uid: str) -> float | None:
        """Seconds until a refused child is tried again."""
        times = [refused.again for refused in self._refused.get(uid, {}).values()]
        return max(0.0, min(times) - self._clock()) if times else None

    async def world(self, model: Object, wanted: Iterable[Object]) -> None:
        """Write every child that differs, in parallel. Raises Retry after all were tried, where one has to be again."""
        world = {ChildKey(child["kind"], child["metadata"]["name"]): child for child in wanted}
        uid = model["metadata"]["uid"]
        refused = self._refused.get(uid, {})
        for child in refused.keys() - world.keys():
            del refused[child]
        todo = [
            self._settle(model, child, wish) for child, wish in world.items() if self._needs_write(uid, child, wish)
        ]
        if not todo:
            return
        failures = [result for result in await asyncio.gather(*todo, return_exceptions=True) if result is not None]
        for failure in sorted(failures, key=lambda error: isinstance(error, Retry)):
            raise failure

    async def prune(self, model: Object, unwanted: Iterable[ChildKey]) -> None:
        """Delete the model's own children that shall not exist."""
        namespace = model["metadata"]["namespace"]
        children = self._store.children(Key(namespace, model["metadata"]["name"]), model["metadata"]["uid"])
        todo = [self._delete(namespace, child, children[child]) for child in unwanted if child in children]
        for result in await asyncio.gather(*todo, return_exceptions=True):
            if result is not None:
                raise result

    def _needs_write(self, uid: str, child: ChildKey, wanted: Object) -> bool:
        live = self._store.get(child.kind, wanted["metadata"]["namespace"], child.name)
        refused = self._refused.get(uid, {}).get(child)
        if refused and refused.wish == _wish(wanted) and self._clock() < refused.again:
            return False
        if live is None or controller(live).get("uid") != uid:
            return True
        left = differences(live, wanted)
        needed = bool(left) and self._accepted.get(uid, {}).get(child) != (_wish(wanted), left)
        if not needed and refused:
            del self._refused[uid][child]  # it came right without us
        return needed

    async def _settle(self, model: Object, child: ChildKey, wanted: Object) -> None:
        uid = model["metadata"]["uid"]
        try:
            live = await self._write(model, child, wanted)
        except ApiError as error:
            if "NamespaceTerminating" in error.causes:
                raise Retry(
                    f"the namespace {model['metadata']['namespace']} is being deleted", _NAMESPACE_GOES
                ) from error
            refusal = _refusal(error)
            if refusal is None:
                raise Retry(str(error), error.retry_after) from error
            self._refuse(uid, child, wanted, refusal)
        else:
            if live is not None:
                self._refused.get(uid, {}).pop(child, None)
                self._accept(uid, child, live, wanted)

    async def _write(self, model: Object, child: ChildKey, wanted: Object) -> Object | None:
        """Apply, unless the name is somebody else's; the live object after it, None where it was refused."""
        namespace = wanted["metadata"]["namespace"]
        live = self._store.get(child.kind, namespace, child.name)
        if live is None:
            try:
                return await self._apply(wanted, {"resourceVersion": _NO_VERSION}, "create")
            except ApiError as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
            live = await self._kube.get(RESOURCES[child.kind], namespace, child.name)
            if live is None:
                raise Retry(f"{child.kind} {child.name} came and went")
        if conflict := _conflict(model, child, live):
            self._refuse(model["metadata"]["uid"], child, wanted, conflict)
            return None
        self._hold_back(model["metadata"]["uid"], child, wanted)
        return await self._apply(wanted, {"uid": live["metadata"]["uid"]}, "apply")

    def _hold_back(self, uid: str, child: ChildKey, wanted: Object) -> None:
        """Two who undo each other's writes must not do so at full speed: raises Retry where the last are too near."""
        wish, now = _wish(wanted), self._clock()
        known = self._repairs.setdefault(uid, {}).get(child)
        times = known[1] if known and known[0] == wish else deque[float](maxlen=_REPAIRS)
        if len(times) == _REPAIRS and now - times[0] < _REPAIRS_SECONDS:
            raise Retry(f"{child.kind} {child.name} is changed again and again", times[0] + _REPAIRS_SECONDS - now)
        times.append(now)
        self._repairs[uid][child] = (wish, times)

    async def _apply(self, wanted: Object, precondition: Mapping[str, str], verb: str) -> Object:
        body = {**wanted, "metadata": {**wanted["metadata"], **precondition}}
        self._metrics.writes.labels(wanted["kind"], verb).inc()
        with self._store.writing(wanted["kind"], body["metadata"]["namespace"], body["metadata"]["name"]):
            live = await self._kube.apply(body, self._gate.write_timeout)
            self._store.put(wanted["kind"], live)
        return live

    async def _delete(self, namespace: str, child: ChildKey, live: Object) -> None:
        self._metrics.writes.labels(child.kind, "delete").inc()
        meta = live["metadata"]
        try:
            await self._kube.delete(RESOURCES[child.kind], namespace, child.name, meta["uid"], self._gate.write_timeout)
        except ApiError as error:
            raise Retry(str(error), error.retry_after) from error
        self._store.remove(child.kind, namespace, child.name, int(meta["resourceVersion"]))

    def _refuse(self, uid: str, child: ChildKey, wanted: Object, refusal: Refusal) -> None:
        known = self._refused.setdefault(uid, {})
        wish = _wish(wanted)
        before = known.get(child)
        times = before.times + 1 if before and before.wish == wish else 1
        known[child] = _Refused(refusal, wish, times, self._clock() + backoff(_REFUSED_BEFORE + times))
        if not before or before.refusal != refusal:
            _log.warning("%s %s was refused: %s", child.kind, child.name, refusal.message)

    def _accept(self, uid: str, child: ChildKey, live: Object, wanted: Object) -> None:
        """The API server's answer to our apply is as near as we get: a field changed on the way is not fought over."""
        if left := differences(live, wanted):
            self._accepted.setdefault(uid, {})[child] = (_wish(wanted), left)
            _log.warning("%s %s: the cluster changes what we send: %s", child.kind, child.name, ", ".join(left))


def _wish(wanted: Object) -> str:
    """The hash of all we send, which the core writes on every child."""
    wish: str = wanted["metadata"]["annotations"][ANNOTATION_APPLIED]
    return wish


def _conflict(model: Object, child: ChildKey, live: Object) -> Refusal | None:
    """Why a live object of the wanted name must not be written; None where it is ours, or an orphan of ours."""
    meta, owner = model["metadata"], controller(live)
    if live["metadata"].get("deletionTimestamp"):
        raise Retry(f"{child.kind} {child.name} is being deleted")
    if owner.get("uid") == meta["uid"]:
        return None
    if owner.get("kind") == KIND and owner.get("name") == meta["name"]:
        raise Retry(f"{child.kind} {child.name} belongs to a deleted {KIND} of the same name")
    labels = live["metadata"].get("labels", {})
    if not owner and labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_INSTANCE) == meta["name"]:
        return None
    who = f"{owner['kind']} {owner['name']}" if owner else "somebody else"
    sentence = f"{child.kind} {child.name} exists and belongs to {who}; rename the {KIND}, or delete that object."
    return Refusal(Reason.NAME_CONFLICT, sentence)


def _refusal(error: ApiError) -> Refusal | None:
    """What the API server will go on refusing; None where trying again may help by itself."""
    if error.status == HTTPStatus.FORBIDDEN and "exceeded quota" in error.message:
        return Refusal(Reason.QUOTA_EXCEEDED, error.message)
    if "metadata.uid" in error.message:
        return None  # the object was replaced since we saw it: look again
    by_webhook = "failed calling webhook" in error.message
    return Refusal(Reason.APPLY_REJECTED, error.message) if error.status in _ANSWERED_REFUSALS or by_webhook else None
