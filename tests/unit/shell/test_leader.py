"""The Lease, judged by the local clock: against a Lease held in memory, with a clock moved by hand."""

from __future__ import annotations

import asyncio
from http import HTTPMethod
from typing import Any

import pytest

from crackseg_operator.shell.kube import ApiError
from crackseg_operator.shell.leader import Leader, NotLeading


class LeaseServer:
    """One Lease with optimistic locking, as the API server keeps it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.calls = 0
        self.quick = asyncio.Event()
        self.quick.set()

    async def get(self, *_: Any) -> dict[str, Any] | None:
        self.calls += 1
        if self.down:
            raise ApiError(0, "no answer")
        return self.lease

    async def call(self, method: HTTPMethod, _: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        await self.quick.wait()
        if self.down:
            raise ApiError(0, "no answer")
        if method is HTTPMethod.PUT and not self.lease:
            raise ApiError(404, "not found")
        current = self.lease and self.lease["metadata"]["resourceVersion"]
        if (method is HTTPMethod.POST) == bool(self.lease) or body["metadata"].get("resourceVersion") != current:
            raise ApiError(409, "conflict")
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _leader(server: LeaseServer, clock: Clock, name: str) -> Leader:
    return Leader(server, "crackseg-system", name, clock)  # type: ignore[arg-type]


def _turn(*leaders: Leader) -> None:
    async def main() -> None:
        for leader in leaders:
            try:
                await leader._try()
            except ApiError:
                continue

    asyncio.run(main())


def test_the_first_takes_the_lease_and_the_second_may_not_write(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first, second)
    assert (first.leading, second.leading) == (True, False)
    with pytest.raises(NotLeading):
        second.write_timeout()


def test_the_second_takes_over_when_the_lease_was_not_renewed_for_its_duration(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first, second)
    clock.now += 15.5
    _turn(second)
    assert (first.leading, second.leading) == (False, True)
    _turn(first)
    assert not first.leading


def test_a_renewed_lease_is_not_taken_however_long_it_lasts(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    for _ in range(20):
        _turn(first, second)
        clock.now += 2
    assert (first.leading, second.leading) == (True, False)


def test_without_the_api_server_the_leader_stops_writing_before_another_may_start(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first, second)
    server.down = True
    clock.now += 9
    _turn(first)
    assert first.leading
    assert first.write_timeout() <= 5  # a write under way ends before the Lease does
    clock.now += 2
    _turn(first)
    assert not first.leading


def test_the_times_written_in_the_lease_do_not_matter(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first)
    assert server.lease
    server.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    _turn(second)
    assert not second.leading


def test_a_released_lease_is_taken_at_the_next_look(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first, second)
    asyncio.run(first.release())
    _turn(second)
    assert (first.leading, second.leading) == (False, True)


def test_the_same_pod_started_again_keeps_its_lease(server: LeaseServer, clock: Clock):
    _turn(_leader(server, clock, "pod-0"))
    again = _leader(server, clock, "pod-0")
    _turn(again)
    assert again.leading


def test_a_renewal_that_outlasts_the_right_to_write_wakes_those_who_wait_for_it(server: LeaseServer, clock: Clock):
    leader = _leader(server, clock, "first")
    taken: list[float] = []

    async def main() -> None:
        await leader._turn(lambda: taken.append(clock.now))
        clock.now += 9
        server.quick.clear()
        renewal = asyncio.create_task(leader._turn(lambda: taken.append(clock.now)))
        await asyncio.sleep(0)  # the renewal has begun
        clock.now += 2
        worker = asyncio.create_task(leader.wait())
        await asyncio.sleep(0)
        assert not worker.done()
        server.quick.set()
        await renewal
        async with asyncio.timeout(60):
            await worker

    asyncio.run(main())
    assert leader.leading
    assert taken == [1000.0]  # nobody else had it: nothing has to be looked at anew


def test_how_long_it_leads_counts_from_the_last_taking(server: LeaseServer, clock: Clock):
    leader = _leader(server, clock, "first")

    async def turn() -> None:
        await leader._turn(lambda: None)

    assert leader.since == float("inf")
    asyncio.run(turn())
    assert leader.since == 1000.0
    clock.now += 2
    asyncio.run(turn())
    assert leader.since == 1000.0
    server.down = True
    clock.now += 60
    asyncio.run(turn())
    assert leader.since == float("inf")
    server.down = False
    asyncio.run(turn())
    assert leader.since == 1062.0


def test_the_holder_renews_with_one_call_and_looks_again_where_that_fails(server: LeaseServer, clock: Clock):
    first, second = _leader(server, clock, "first"), _leader(server, clock, "second")
    _turn(first)
    before = server.calls
    _turn(first)
    assert server.calls == before + 1
    clock.now += 16
    _turn(second)  # sees it for the first time
    clock.now += 16
    _turn(second, first)
    assert (first.leading, second.leading) == (False, True)


def test_a_lease_that_somebody_deleted_is_made_anew(server: LeaseServer, clock: Clock):
    leader = _leader(server, clock, "first")
    _turn(leader)
    server.lease = None
    clock.now += 12
    _turn(leader, leader)
    assert leader.leading
