"""kopf's part: watches of the models and, by label, of what they own. Hands every event on, decides nothing.

Beside `app` the only importer of kopf, of which only the low-level handlers are used: no finalizer, no annotation,
no index, no timer of kopf's. Tells `resync` whenever a watch was opened, by a trace on the watches' own session.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, Protocol

import aiohttp
import kopf
import orjson
from typing_extensions import override

from crackseg_operator.shell.kube import WATCHED, Object, Resource, selector
from crackseg_operator.shell.workqueue import backoff

#: The API server ends a watch after this long; opening it again makes `resync` look. Seconds.
RENEWAL_SECONDS: Final = 300.0
#: No attempt to open a watch for this long: the watch is dead, whatever the socket says.
STALE_SECONDS: Final = 2 * RENEWAL_SECONDS + 140.0
_FIRST_FAILURE: Final = 6  # a first retry after about 0.2 s
_LONGEST_RETRY: Final = 3.0  # an API server that is back is noticed within this


class EndlessBackoffs:
    """Delays between attempts of kopf's calls: growing to 3 s with jitter, and never giving up."""

    def __iter__(self) -> Iterator[float]:
        """The delays of one call."""
        failures = _FIRST_FAILURE
        while True:
            failures += 1
            yield min(_LONGEST_RETRY, backoff(failures))


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: kopf would otherwise copy every object on every event."""

    @override
    def build(self, **_: Any) -> Any:
        """No essence."""
        return {}

    @override
    def fetch(self, **_: Any) -> None:
        """No past."""

    @override
    def store(self, **_: Any) -> None:
        """No trace on the object."""


class NoProgress(kopf.ProgressStorage):
    """Keeps nothing: low-level handlers have no progress."""

    @override
    def fetch(self, **_: Any) -> None:
        """None."""

    @override
    def store(self, **_: Any) -> None:
        """No trace on the object."""

    @override
    def purge(self, **_: Any) -> None:
        """Nothing to remove."""

    @override
    def touch(self, **_: Any) -> None:
        """No trace on the object."""

    @override
    def clear(self, *, essence: Any) -> Any:
        """Nothing to remove."""
        return essence


def configure(settings: kopf.OperatorSettings, *, streaming_lists: bool) -> None:
    """Settings of kopf, each with its reason."""
    settings.scanning.disabled = True  # static kinds: no right to watch CRDs and namespaces is needed
    settings.peering.standalone = True  # the Lease decides who writes
    settings.posting.enabled = False  # Events are told by `events`
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = EndlessBackoffs()  # an outage of any length does not end the process
    settings.watching.inactivity_timeout = 70  # bookmarks come every 60 s: a silent watch is a dead one
    settings.watching.server_timeout = int(RENEWAL_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load
    settings.watching.initial_streaming = streaming_lists  # one request instead of two, object by object
    settings.queueing.idle_timeout = 1.0  # a task for each object with activity need not live long
    for resource in WATCHED:
        if labels := selector(resource):
            settings.watching.label_selectors[resource.group, resource.version, resource.plural] = labels


class Follower(Protocol):
    """Who is told of events: the store's keeper."""

    async def is_news(self, kind: str, raw: Object) -> bool:
        """Whether an added or modified object tells anything that is not known already."""

    def see(self, kind: str, what: str | None, raw: Object) -> None:
        """Take the event in."""


def register(registry: kopf.OperatorRegistry, follower: Follower) -> None:
    """One handler a kind."""
    for resource in WATCHED:
        _register(registry, resource, follower)


def _register(registry: kopf.OperatorRegistry, resource: Resource, follower: Follower) -> None:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        follower.see(resource.kind, event["type"], event["object"])

    kopf.on.event(
        resource.group,
        resource.version,
        resource.plural,
        id=f"see-{resource.plural}",
        registry=registry,
    )(handle)


class News:
    """The body of a watch without the events that tell nothing new, most of them echoes of our own writes.

    kopf makes a task, a queue and a dozen views of each event that it reads, which is many times what it costs to look
    at one. So they end here, where kopf reads; everything else passes as it came.
    """

    def __init__(self, content: aiohttp.StreamReader, kind: str, follower: Follower) -> None:
        self._content = content
        self._kind = kind
        self._follower = follower

    def __getattr__(self, name: str) -> Any:
        """All else of a stream is the stream's own."""
        return getattr(self._content, name)

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """Whole lines as they come, each one event."""
        rest = b""
        async for data in self._content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line and await self._tells(line):
                    yield line + b"\n"
        yield rest

    async def _tells(self, line: bytes) -> bool:
        event = orjson.loads(line)
        what, raw = event.get("type"), event.get("object")
        return what not in ("ADDED", "MODIFIED") or await self._follower.is_news(self._kind, raw)


class WatchTrace:
    """Sees when watches are opened, and when opening was last tried."""

    def __init__(
        self, namespace: str | None, follower: Follower, opened: Callable[[Resource], None], clock: Callable[[], float]
    ) -> None:
        self._paths = {resource.path(namespace): resource for resource in WATCHED}
        self._follower = follower
        self._opened = opened
        self._clock = clock
        self._tried: dict[str, float] = {}

    def config(self) -> aiohttp.TraceConfig:
        """What the watches' session is opened with."""
        for resource in WATCHED:
            self._tried.setdefault(resource.plural, self._clock())
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._on_start)
        trace.on_request_end.append(self._on_end)
        return trace

    def stale(self) -> list[str]:
        """Kinds whose watch nobody tried to open for too long."""
        now = self._clock()
        return [plural for plural, tried in self._tried.items() if now - tried > STALE_SECONDS]

    async def _on_start(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        if resource := self._paths.get(params.url.path):
            self._tried[resource.plural] = self._clock()

    async def _on_end(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        resource = self._paths.get(params.url.path)
        if resource and "watch" in params.url.query and params.response.status == 200:
            params.response.content = News(params.response.content, resource.kind, self._follower)  # type: ignore[assignment]
            self._opened(resource)
