"""What the operator knows of the cluster: plain dicts by kind and name, only the fields that are used.

Filled by the watches, the lists and the answers to our own writes, in any order: an older resourceVersion never
replaces a newer one, and a deleted object does not come back with an old event. Decides nothing, calls nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from crackseg_operator.api.names import API_VERSION, KIND, LABEL_INSTANCE
from crackseg_operator.core.observed import ChildKey
from crackseg_operator.shell.kube import MODELS, PODS, RESOURCES

#: Deleted objects are remembered until this many others were deleted: long enough for any event under way.
_TOMBSTONES: Final = 4096
#: An event of an object that is being written waits this long for the write's answer, in seconds.
_PATIENCE: Final = 0.1


class Key(NamedTuple):
    """Names one CrackSegModel; the unit of work."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """One object, and the model it belongs to."""

    raw: Mapping[str, Any]
    version: int
    owner: Key | None


class Store:
    """All objects of all watched kinds."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[Key, Kept]] = {kind: {} for kind in RESOURCES}
        self._owned: dict[Key, dict[tuple[str, Key], Kept]] = {}
        self._tombstones: dict[tuple[str, Key], int] = {}
        self._written: dict[tuple[str, Key], asyncio.Event] = {}

    @contextmanager
    def writing(self, kind: str, namespace: str, name: str) -> Iterator[None]:
        """While this lasts, an own write of this object is under way."""
        where, done = (kind, Key(namespace, name)), asyncio.Event()
        self._written[where] = done
        try:
            yield
        finally:
            done.set()
            if self._written.get(where) is done:
                del self._written[where]

    async def settled(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Until no own write of this object is under way, for a moment at most: its echo may come before its answer."""
        meta = raw["metadata"]
        if done := self._written.get((kind, Key(meta["namespace"], meta["name"]))):
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await done.wait()

    def is_news(self, kind: str, raw: Mapping[str, Any]) -> bool:
        """Whether `put` would take this object in; the echo of an own write is no news."""
        meta = raw["metadata"]
        return int(meta["resourceVersion"]) > self._known_version(kind, Key(meta["namespace"], meta["name"]))

    def put(self, kind: str, raw: Mapping[str, Any]) -> Key | None:
        """Take an object in; the model whose world changed with it, or None where nothing is new."""
        meta = raw["metadata"]
        name, version = Key(meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        if version <= self._known_version(kind, name):
            return None
        old = self._kinds[kind].get(name)
        kept = Kept(_reduce(kind, raw), version, _owner(kind, meta))
        self._kinds[kind][name] = kept
        if old and old.owner and old.owner != kept.owner:
            self._owned[old.owner].pop((kind, name), None)
        if kept.owner:
            self._owned.setdefault(kept.owner, {})[kind, name] = kept
        return kept.owner

    def remove(self, kind: str, namespace: str, name: str, version: int) -> Key | None:
        """Forget an object deleted at `version`; the model whose world changed, or None where a newer one lives."""
        where = Key(namespace, name)
        old = self._kinds[kind].get(where)
        if old and old.version > version:
            return None
        self._bury((kind, where), version)
        if old is None:
            return None
        del self._kinds[kind][where]
        if old.owner and (owned := self._owned.get(old.owner)) is not None:
            owned.pop((kind, where), None)
            if not owned:
                del self._owned[old.owner]
        return old.owner

    def model(self, key: Key) -> Mapping[str, Any] | None:
        """The raw CrackSegModel."""
        kept = self._kinds[MODELS.kind].get(key)
        return kept.raw if kept else None

    def models(self) -> list[Key]:
        """All CrackSegModels."""
        return list(self._kinds[MODELS.kind])

    def children(self, key: Key, uid: str) -> dict[ChildKey, Mapping[str, Any]]:
        """The model's own children: those whose controller has this uid."""
        return {
            ChildKey(kind, name.name): kept.raw
            for (kind, name), kept in self._owned.get(key, {}).items()
            if kind not in (MODELS.kind, PODS.kind) and controller(kept.raw).get("uid") == uid
        }

    def pods(self, key: Key) -> list[Mapping[str, Any]]:
        """The model's pods, all revisions."""
        return [kept.raw for (kind, _), kept in self._owned.get(key, {}).items() if kind == PODS.kind]

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object of the label-selected kinds, whoever owns it."""
        kept = self._kinds[kind].get(Key(namespace, name))
        return kept.raw if kept else None

    def versions(self, kind: str) -> Iterator[tuple[Key, int]]:
        """Every known object of a kind with its resourceVersion."""
        return ((name, kept.version) for name, kept in list(self._kinds[kind].items()))

    def _known_version(self, kind: str, name: Key) -> int:
        old = self._kinds[kind].get(name)
        return old.version if old else self._tombstones.get((kind, name), 0)

    def _bury(self, where: tuple[str, Key], version: int) -> None:
        self._tombstones.pop(where, None)
        self._tombstones[where] = version
        if len(self._tombstones) > _TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]


def controller(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ownerReference of the object's controller, empty where it has none."""
    references: list[Mapping[str, Any]] = raw["metadata"].get("ownerReferences", [])
    return next((reference for reference in references if reference.get("controller")), {})


def _owner(kind: str, meta: Mapping[str, Any]) -> Key | None:
    """The model itself, the model that controls a child, or the model that a pod's label names."""
    if kind == MODELS.kind:
        return Key(meta["namespace"], meta["name"])
    reference = controller({"metadata": meta})
    if reference.get("kind") == KIND and reference.get("apiVersion") == API_VERSION:
        return Key(meta["namespace"], reference["name"])
    # A pod's controller is a ReplicaSet; an orphan of ours may be adopted. Both say by label whose they are.
    instance = meta.get("labels", {}).get(LABEL_INSTANCE)
    return Key(meta["namespace"], instance) if instance else None


def _reduce(kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are used: no managedFields; of a pod's long spec only the node."""
    meta = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    if kind != PODS.kind:
        return {**raw, "metadata": meta}
    meta.pop("annotations", None)
    return {
        "metadata": meta,
        "spec": {"nodeName": raw.get("spec", {}).get("nodeName", "")},
        "status": raw.get("status", {}),
    }
