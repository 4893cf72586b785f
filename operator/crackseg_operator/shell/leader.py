"""Who may write: one process, by a Lease. The others keep their stores warm.

Run by `app`; asked by `apply` before each write. A Lease is judged by how long this process has seen it unchanged on
its own monotonic clock, never by the times written in it, so that clocks of other machines do not matter.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from http import HTTPMethod, HTTPStatus
from typing import Any, Final

from crackseg_operator.shell.kube import LEASES, ApiError, Kube

_log = logging.getLogger(__name__)

NAME: Final = "crackseg-operator"
#: A Lease unchanged for this long is free.
LEASE_SECONDS: Final = 15
#: Without a renewal for this long, the leader stops writing: well before another one may start.
_RENEW_DEADLINE: Final = 10.0
_RENEW_EVERY: Final = 2.0
#: A standby looks this often, so that a released Lease is taken within a second.
_LOOK_EVERY: Final = 0.8
#: No write may be under way longer than the Lease lasts.
_WRITE_TIMEOUT: Final = 10.0


class NotLeading(Exception):  # noqa: N818 - it reads as what it says
    """This process may not write now."""


class AlwaysLeader:
    """The gate of an operator that runs alone."""

    leading = True
    since = float("-inf")

    def write_timeout(self) -> float:
        """How long a write may take, in seconds."""
        return _WRITE_TIMEOUT

    async def wait(self) -> None:
        """Returns at once."""


class Leader:
    """The gate of an operator that shares its cluster with standbys."""

    def __init__(self, kube: Kube, namespace: str, identity: str, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._renewed = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)  # the Lease's resourceVersion, and when it was first seen
        self._held: dict[str, Any] | None = None  # the Lease as this process wrote it last
        self._led = False  # as the last turn left it
        self._since = float("inf")
        self._acquired = asyncio.Event()

    @property
    def leading(self) -> bool:
        """Whether this process may write now."""
        return self._clock() - self._renewed < _RENEW_DEADLINE

    @property
    def since(self) -> float:
        """Since when this process may write, by its clock; infinite where it may not."""
        return self._since if self.leading else float("inf")

    def write_timeout(self) -> float:
        """How long a write that starts now may take, in seconds; raises NotLeading."""
        if not self.leading:
            raise NotLeading("another operator holds the Lease")
        return min(_WRITE_TIMEOUT, self._renewed + LEASE_SECONDS - 1 - self._clock())

    async def wait(self) -> None:
        """Until this process may write."""
        while not self.leading:
            self._acquired.clear()
            await self._acquired.wait()

    async def run(self, acquired: Callable[[], None]) -> None:
        """Take the Lease when it is free, renew it for ever; `acquired` is called at each taking."""
        while True:
            await self._turn(acquired)
            await asyncio.sleep(_RENEW_EVERY if self.leading else _LOOK_EVERY)

    async def _turn(self, acquired: Callable[[], None]) -> None:
        try:
            await asyncio.wait_for(self._try(), _RENEW_DEADLINE / 2)
        except (ApiError, TimeoutError) as error:
            _log.warning("The Lease %s/%s could not be renewed: %s", self._namespace, NAME, error)
        was, self._led = self._led, self.leading
        if self._led:
            # Each time: the right to write may have lapsed and come back within one slow renewal, and workers wait.
            self._acquired.set()
            if not was:
                self._since = self._clock()
                _log.info("This operator leads: %s", self._identity)
                acquired()
        elif was:
            _log.warning("This operator no longer leads and writes nothing: %s", self._identity)

    async def release(self) -> None:
        """Give the Lease up, so that a standby need not wait for it to end."""
        if not self.leading:
            return
        self._renewed, self._held = float("-inf"), None
        try:
            lease = await self._kube.get(LEASES, self._namespace, NAME)
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                await self._put(lease, {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except ApiError as error:
            _log.warning("The Lease was not released, a standby has to wait for its end: %s", error)

    async def _try(self) -> None:
        asked = self._clock()
        held, self._held = self._held, None
        # Nobody else writes a Lease that is held, so the holder need not look first: a slow API server is asked once.
        if held and await self._put(held, self._terms(held["spec"])):
            self._renewed = asked
            return
        lease = await self._kube.get(LEASES, self._namespace, NAME)
        if lease is None:
            meta = {"name": NAME, "namespace": self._namespace}
            if await self._put({"metadata": meta}, self._terms({}), create=True):
                self._renewed = asked
            return
        version, spec = lease["metadata"]["resourceVersion"], lease.get("spec", {})
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        holder = spec.get("holderIdentity", "")
        free = not holder or self._clock() - self._seen[1] > spec.get("leaseDurationSeconds", LEASE_SECONDS)
        if (holder == self._identity or free) and await self._put(lease, self._terms(spec)):
            self._renewed = asked

    def _terms(self, old: dict[str, Any]) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        mine = old.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + (not mine),
        }

    async def _put(self, lease: dict[str, Any], spec: dict[str, Any], *, create: bool = False) -> bool:
        """Write the Lease as it was seen; False where somebody else was quicker."""
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": lease["metadata"], "spec": spec}
        method = HTTPMethod.POST if create else HTTPMethod.PUT
        path = LEASES.path(self._namespace, "" if create else NAME)
        try:
            self._held = await self._kube.call(method, path, body)
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True
