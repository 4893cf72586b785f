"""Constant load through the Ingress, bounded: half of the clients keep their connection, half make a new one each time.

The demo and the tests hold it on during a rollout and a rollback, and ask afterwards how many requests failed. A request
has failed when it was not answered with 200 for whatever reason; nothing is tried twice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp

from crackseg_demo.kubectl import wait_until

_CLIENTS = 4
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_KEPT_FAILURES = 5


@dataclass(frozen=True)
class Target:
    """Where requests go: the Ingress' address, and the host name that it routes by."""

    url: str
    host: str


@dataclass
class Tally:
    """What came of the requests so far."""

    answered: Counter[str] = field(default_factory=Counter)  # by model version
    failed: int = 0
    failures: list[str] = field(default_factory=list)  # the first few, as sentences
    seconds: list[float] = field(default_factory=list)  # of the answered ones

    @property
    def requests(self) -> int:
        """All requests that have come to an end."""
        return sum(self.answered.values()) + self.failed

    def fail(self, sentence: str) -> None:
        """Count a failed request."""
        self.failed += 1
        if len(self.failures) < _KEPT_FAILURES:
            self.failures.append(f"{datetime.now(UTC):%H:%M:%S} {sentence}")

    def answer(self, version: str, seconds: float) -> None:
        """Count an answered request."""
        self.answered[version] += 1
        self.seconds.append(seconds)

    def wait_for(self, version: str, count: int, seconds: float = 60.0) -> None:
        """Wait until this version has answered so many requests; raises StepFailed when it does not."""
        what = f"{count} requests answered by version {version}"
        wait_until(lambda: self.failed > 0 or self.answered[version] >= count, seconds, what)

    def latency(self, percent: int) -> float:
        """A percentile of the answered requests' durations, in seconds; 0 where there were none."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0

    def sentence(self) -> str:
        """One sentence for people."""
        versions = ", ".join(f"{count} by version {version}" for version, count in sorted(self.answered.items()))
        return f"{self.requests} requests, answered: {versions or 'none'}; failed: {self.failed}"


@contextmanager
def constant_load(target: Target, photograph: bytes, per_second: float = 5.0) -> Iterator[Tally]:
    """Send the photograph `per_second` times a second until the block is left; requests under way are awaited."""
    tally = Tally()
    over = threading.Event()
    interval = _CLIENTS / per_second

    async def drive() -> None:
        kept = aiohttp.TCPConnector(limit=_CLIENTS)
        fresh = aiohttp.TCPConnector(limit=_CLIENTS, force_close=True)
        async with (
            aiohttp.ClientSession(connector=kept, timeout=_TIMEOUT) as keeping,
            aiohttp.ClientSession(connector=fresh, timeout=_TIMEOUT) as renewing,
        ):
            sessions = [keeping, renewing] * (_CLIENTS // 2)
            delays = [interval * number / _CLIENTS for number in range(_CLIENTS)]
            clients = (
                _client(session, target, photograph, tally, _Pace(delay, interval, over.is_set))
                for session, delay in zip(sessions, delays, strict=True)
            )
            await asyncio.gather(*clients)

    thread = threading.Thread(target=lambda: asyncio.run(drive()), name="load")
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class _Pace:
    """When one client sends: first after `delay`, then every `interval` seconds or as soon as the answer is there."""

    delay: float
    interval: float
    over: Callable[[], bool]


async def _client(session: aiohttp.ClientSession, target: Target, photograph: bytes, tally: Tally, pace: _Pace) -> None:
    await asyncio.sleep(pace.delay)
    while not pace.over():
        began = time.monotonic()
        await _request(session, target, photograph, tally)
        await asyncio.sleep(max(0.0, pace.interval - (time.monotonic() - began)))


async def _request(session: aiohttp.ClientSession, target: Target, photograph: bytes, tally: Tally) -> None:
    headers = {"Host": target.host, "Content-Type": "image/jpeg", "Accept": "application/json"}
    began = time.monotonic()
    try:
        async with session.post(f"{target.url}/v1/segment", data=photograph, headers=headers, ssl=False) as answer:
            text = await answer.text()
            if answer.status == 200:
                tally.answer(answer.headers.get("X-Model-Version", "unknown"), time.monotonic() - began)
            else:
                tally.fail(f"HTTP {answer.status}: {text[:200]}")
    except (aiohttp.ClientError, TimeoutError) as error:
        tally.fail(f"{type(error).__name__}: {error}")
