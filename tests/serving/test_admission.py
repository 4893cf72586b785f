"""Who may come in: deadlines that clients give, refusals with a time to come back, tickets that lose their worth."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from tests.serving.waiting import until

from crackseg_serving.admission import Admission, Ticket
from crackseg_serving.failures import Cause, Refused


def make(most: int = 10, places: int = 2, timeout: float = 100, max_wait: float = 100) -> Admission:
    return Admission(max_requests=most, memory=1 << 20, timeout=timeout, places=places, max_wait=max_wait)


def refusal(admission: Admission, timeout: float | None = None) -> Refused:
    with pytest.raises(Refused) as refused, admission.request(timeout):
        pass
    return refused.value


def test_a_client_may_give_less_time_than_the_server_and_not_more():
    admission = make(timeout=10_000)
    for given, allowed in ((None, 10_000), (1000, 1000), (100_000, 10_000)):
        with admission.request(given) as ticket:
            assert 0.9 * allowed < ticket.remaining <= allowed


def test_a_deadline_that_has_passed_says_how_long_it_was():
    with make().request(0) as ticket:
        assert not ticket.valid
        with pytest.raises(Refused, match="within its 0 s") as refused:
            ticket.check()
    assert refused.value.cause == Cause.TIMED_OUT


def test_the_time_to_come_back_follows_from_what_requests_took_and_how_many_are_here():
    short, long = make(), make()
    for _ in range(50):
        short.worked(0.1)
        long.worked(4.0)
    found = {}
    for name, admission in (("short", short), ("long", long)):
        with ExitStack() as inside:
            for _ in range(10):
                inside.enter_context(admission.request())
            refused = refusal(admission)
            assert refused.cause == Cause.OVERLOADED
            found[name] = refused.retry_after
    # Nine would wait for one of two places: 9 * 4 s / 2, and half of that until half of them have gone.
    assert found == {"short": 1, "long": 9}


def test_a_request_that_would_still_wait_at_its_deadline_is_refused_at_once():
    admission = make(places=1, timeout=1000, max_wait=1000)
    admission.worked(100.0)
    with admission.request(), admission.request():
        assert admission.wait == pytest.approx(200.0)
        began = time.monotonic()
        refused = refusal(admission, timeout=60)
        assert time.monotonic() - began < 30
        assert refused.cause == Cause.OVERLOADED
        assert refused.retry_after == 100
        with admission.request(timeout=300) as ticket:
            ticket.check()


def test_a_quick_server_takes_many_and_a_slow_one_few():
    quick, slow = make(most=1000, max_wait=10), make(most=1000, max_wait=10)
    quick.worked(0.01)
    slow.worked(2.0)
    inside = {"quick": 0, "slow": 0}
    for name, admission in (("quick", quick), ("slow", slow)):
        with suppress(Refused), ExitStack() as entered:
            for _ in range(500):
                entered.enter_context(admission.request())
                inside[name] += 1
    # 0.01 s in two places: 500 wait for 2.5 s at most. 2 s in two places: with 12 inside, another would wait for 11 s.
    assert inside == {"quick": 500, "slow": 12}


def test_an_idle_server_takes_a_request_however_little_time_it_has():
    admission = make()
    admission.worked(50)
    with admission.request(timeout=0.001):
        pass


def test_nothing_is_known_before_the_first_request_and_nobody_is_refused_for_it():
    admission = make(most=50, places=1)
    with ExitStack() as inside:
        for _ in range(50):
            inside.enter_context(admission.request(timeout=0.5))
        assert refusal(admission).retry_after == 1


def test_a_very_large_picture_gets_its_room_though_others_keep_coming():
    """Room for 140 MiB, of which 100 are taken: 30 would still fit, but 120 came before them."""
    admission = Admission(max_requests=10, memory=160 << 20, timeout=100)

    def fits(size: int, seconds: float = 60) -> bool:
        with suppress(Refused), admission.image(size << 20, Ticket(time.monotonic() + seconds)):
            return True
        return False

    with ThreadPoolExecutor(1) as pool:
        with admission.image(100 << 20, Ticket(time.monotonic() + 60)):
            assert fits(30)
            huge = pool.submit(fits, 120)
            until(lambda: not fits(30, seconds=0.3), "the others to wait for it")
            assert fits(4), "small ones do not wait"
            assert not huge.done()
        assert huge.result(60)
    assert fits(30)
