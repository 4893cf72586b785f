"""Finds what a watch did not tell: objects deleted or changed while nobody listened.

Run by `app` for a kind each time its watch is opened, which is every few minutes and after every break. Lists only
metadata, and compares names and versions with the store. kopf itself keeps no store, so a deletion in a gap of its
watch would never be known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from crackseg_operator.shell.kube import Kube, Resource
from crackseg_operator.shell.store import Key, Store
from crackseg_operator.shell.workqueue import backoff

_log = logging.getLogger(__name__)

#: After a watch was opened, this much time passes before the list: the watch may tell by itself meanwhile.
_PATIENCE: Final = 0.5
_SECOND_LOOK: Final = 2.0
_FIRST_FAILURE: Final = 6  # backoff starts at about 0.2 s


class Resync:
    """Compares the store with the cluster, kind by kind."""

    def __init__(self, kube: Kube, store: Store, changed: Callable[[Key], None]) -> None:
        self._kube = kube
        self._store = store
        self._changed = changed
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def opened(self, resource: Resource) -> None:
        """A watch of this kind was opened: compare soon. A comparison under way starts anew."""
        if task := self._under_way.get(resource.kind):
            task.cancel()
        task = asyncio.create_task(self._until_done(resource), name=f"resync {resource.plural}")
        self._under_way[resource.kind] = task

    def stop(self) -> None:
        """End every comparison."""
        for task in self._under_way.values():
            task.cancel()

    async def fill(self, resource: Resource) -> None:
        """Take in the whole collection; the workers start after it. Raises ApiError."""
        answer = await self._kube.list(resource, cached=True)
        for raw in answer["items"] or ():
            self._store.put(resource.kind, raw)

    async def _until_done(self, resource: Resource) -> None:
        failures = 0
        await asyncio.sleep(_PATIENCE)
        while True:
            try:
                await self._compare(resource)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may do
                failures += 1
                _log.warning("The %s could not be compared: %r", resource.plural, error)
                await asyncio.sleep(backoff(_FIRST_FAILURE + failures))
            else:
                return

    async def _compare(self, resource: Resource) -> None:
        answer = await self._kube.list(resource, metadata=True)
        version = int(answer["metadata"]["resourceVersion"])
        listed = {Key(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in answer["items"] or ()}
        for name, known in self._store.versions(resource.kind):
            if name not in listed and known <= version:
                _log.info("%s %s is gone; the watch did not say so", resource.kind, "/".join(name))
                self._tell(self._store.remove(resource.kind, *name, version))
        if self._behind(resource, listed):
            await asyncio.sleep(_SECOND_LOOK)  # the watch is given time to tell
            for name in self._behind(resource, listed):
                _log.info("%s %s changed; the watch did not say so", resource.kind, "/".join(name))
                live = await self._kube.get(resource, *name)
                if live is not None:
                    self._tell(self._store.put(resource.kind, live))

    def _behind(self, resource: Resource, listed: Mapping[Key, Mapping[str, Any]]) -> list[Key]:
        known = dict(self._store.versions(resource.kind))
        return [name for name, item in listed.items() if known.get(name, 0) < int(item["metadata"]["resourceVersion"])]

    def _tell(self, key: Key | None) -> None:
        if key is not None:
            self._changed(key)
