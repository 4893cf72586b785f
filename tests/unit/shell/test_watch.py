"""What kopf gets to read of a watch: everything but what is known already, in order and unchanged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest

from crackseg_operator.shell.kube import MODELS
from crackseg_operator.shell.reconcile import Follower
from crackseg_operator.shell.store import Key, Store
from crackseg_operator.shell.watch import News
from crackseg_operator.shell.workqueue import WorkQueue


def pavement(version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "roads", "name": "pavement", "uid": "u", "resourceVersion": str(version)}}


def line(what: str, version: int) -> bytes:
    return json.dumps({"type": what, "object": pavement(version)}).encode() + b"\n"


class Body:
    """A response's body that arrives in these parts."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(0)
            yield part


@pytest.fixture
def store() -> Store:
    """Knows the model at version 5."""
    known = Store()
    known.put(MODELS.kind, pavement(5))
    return known


async def read(store: Store, *parts: bytes) -> list[bytes]:
    follower = Follower(store, WorkQueue[Key](time.monotonic), cast("Any", None))
    body = News(cast("aiohttp.StreamReader", Body(*parts)), MODELS.kind, follower)
    return [part async for part in body.iter_chunked(1024) if part]


PASSES = [
    pytest.param(line("MODIFIED", 6), id="a change"),
    pytest.param(line("ADDED", 6), id="an object made anew"),
    pytest.param(line("DELETED", 5), id="a deletion, whatever its version"),
    pytest.param(line("BOOKMARK", 5), id="a bookmark, which keeps the watch alive"),
    pytest.param(b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n', id="an error"),
]


@pytest.mark.parametrize("event", PASSES)
def test_news_passes_as_it_came(store: Store, event: bytes) -> None:
    assert asyncio.run(read(store, event)) == [event]


@pytest.mark.parametrize("event", [line("MODIFIED", 5), line("ADDED", 4)], ids=["an echo", "an old state"])
def test_what_is_known_is_left_out(store: Store, event: bytes) -> None:
    assert asyncio.run(read(store, line("BOOKMARK", 1) + event + line("MODIFIED", 6))) == [
        line("BOOKMARK", 1),
        line("MODIFIED", 6),
    ]


@pytest.mark.parametrize("cut", [1, 20, 70])
def test_an_event_may_arrive_in_parts(store: Store, cut: int) -> None:
    whole = line("MODIFIED", 5) + line("MODIFIED", 6) + line("DELETED", 7)
    parts = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    assert asyncio.run(read(store, *parts)) == [line("MODIFIED", 6), line("DELETED", 7)]


def test_a_stream_that_breaks_off_ends_with_what_came(store: Store) -> None:
    assert asyncio.run(read(store, line("MODIFIED", 6) + b'{"type":"MOD')) == [line("MODIFIED", 6), b'{"type":"MOD']


@pytest.mark.parametrize(
    ("answered", "passes"),
    [(6, []), (5, [line("MODIFIED", 6)])],
    ids=["our own write's echo", "somebody else's change"],
)
def test_an_event_that_is_quicker_than_our_own_writes_answer_waits_for_it(
    store: Store, answered: int, passes: list[bytes]
) -> None:
    async def scenario() -> list[bytes]:
        with store.writing(MODELS.kind, "roads", "pavement"):
            reading = asyncio.create_task(read(store, line("MODIFIED", 6)))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not reading.done()
            store.put(MODELS.kind, pavement(answered))
        return await reading

    assert asyncio.run(scenario()) == passes


def test_an_answer_that_does_not_come_holds_nothing_up(store: Store) -> None:
    async def scenario() -> list[bytes]:
        with store.writing(MODELS.kind, "roads", "pavement"):
            return await asyncio.wait_for(read(store, line("MODIFIED", 6)), 60)

    assert asyncio.run(scenario()) == [line("MODIFIED", 6)]
