"""A proxy that learns late that a server goes: what it still sends is answered, not refused."""

from __future__ import annotations

import signal
import time

import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded
from tests.serving.waiting import until

pytestmark = pytest.mark.serving

GOOD = encoded(cracked()[0])


def test_requests_that_still_come_prolong_the_drain(serve: Serve):
    server = serve(DRAIN_SECONDS="4").wait_ready()
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.ask("GET", "/ready").status == 503, "not ready after SIGTERM")
    late, end = [], time.monotonic() + 8
    while time.monotonic() < end:
        late.append(server.segment(GOOD, "?output=mask").status)
    assert set(late) == {200}
    assert server.wait() == 0


def test_questions_for_health_do_not_prolong_it(serve: Serve):
    server = serve(DRAIN_SECONDS="1").wait_ready()
    server.process.send_signal(signal.SIGTERM)

    def gone() -> bool:
        try:
            return server.ask("GET", "/ready").status != 503
        except OSError:
            return True

    until(gone, "the listener is closed although the kubelet asks on")
    assert server.wait() == 0
