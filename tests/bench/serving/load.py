"""The load generator: one request, prebuilt, sent over many kept connections, for a bounded time, to this machine only.

    python -m tests.bench.serving.load URL BODY [-H 'Name: value'] [--clients 8] [--seconds 3] [--rate 20]

A closed loop: each client asks again as soon as it is answered. With --rate an open loop: requests are due at fixed times,
latency counts from when a request was due, and one that finds no free connection is dropped. A process of its own on raw
sockets, so that it costs little beside the server; it measures what it costs. One line of JSON comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop
from typing_extensions import override

PATIENCE = 30.0  # seconds that the last answers may take
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """What came of the requests; only those that end (open loop: are due) between `begin` and `end` count.

    Times are the performance counter's: uvloop's own clock counts whole milliseconds.
    """

    begin: float
    end: float
    most: int = 0  # 0: bounded by time alone
    sent: int = 0
    answered: int = 0  # in all, the warm-up included
    refused: int = 0  # told to come later: the server's admission at work
    errors: int = 0
    dropped: int = 0
    last_error: str = ""
    latencies: list[float] = field(default_factory=list)
    cpu: float = field(default_factory=time.process_time)  # this process's, before the first request

    def goes_on(self, now: float) -> bool:
        """Whether another request may be sent."""
        return now < self.end and not (self.most and self.sent >= self.most)

    def done(self, since: float, now: float, *, by: float) -> None:
        """A good answer; `by` is the time that decides whether it counts."""
        self.answered += 1
        if self.begin <= by < self.end:
            self.latencies.append(now - since)

    def failed(self, why: str, *, refused: bool = False) -> None:
        """No answer, or not 200."""
        if refused:
            self.refused += 1
        else:
            self.errors += 1
            self.last_error = why


class Connection(asyncio.Protocol):
    """One kept connection with at most one request on it."""

    def __init__(self, tally: Tally, request: bytes, *, closed: bool, free: deque[Connection]) -> None:
        self._tally, self._request, self._closed, self._free = tally, request, closed, free
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._missing = -1  # bytes of the body still to come; -1 while the head is
        self._status = b""
        self._since = 0.0
        self.busy = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def send(self, since: float) -> None:
        """Ask, on behalf of `since`."""
        assert self._transport is not None
        self._since, self.busy, self._head, self._missing = since, True, b"", -1
        self._tally.sent += 1
        self._transport.write(self._request)

    def again(self) -> None:
        """The closed loop: the next request at once, while there is time."""
        now = time.perf_counter()
        if self._tally.goes_on(now):
            self.send(now)

    @override
    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._head, 0, end)
            self._status = self._head[9:12]
            self._missing = (int(found[1]) if found else 0) - (len(self._head) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._finish()

    def _finish(self) -> None:
        self.busy = False
        if self._status == b"200":
            now = time.perf_counter()
            self._tally.done(self._since, now, by=now if self._closed else self._since)
        else:
            self._tally.failed(self._head[:300].decode("latin-1"), refused=self._status == b"429")
        if not self._closed:
            self._free.append(self)
        elif self._status == b"200":
            self.again()
        else:
            self._loop.call_later(0.005, self.again)  # who is refused does not hammer

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self.busy = False
            self._tally.failed(f"the connection was lost: {exc}")


async def _run(options: argparse.Namespace, host: str, port: int, request: bytes) -> Tally:
    loop = asyncio.get_running_loop()
    free: deque[Connection] = deque()
    start = time.perf_counter()
    tally = Tally(start + options.warm_up, start + options.warm_up + options.seconds, options.requests)
    closed = not options.rate
    connections = [
        (await loop.create_connection(lambda: Connection(tally, request, closed=closed, free=free), host, port))[1]
        for _ in range(options.clients)
    ]
    if closed:
        for connection in connections:
            connection.again()
        await _while(lambda: tally.goes_on(time.perf_counter()))
        tally.end = min(tally.end, time.perf_counter())
    else:
        free.extend(connections)
        await _schedule(tally, free, start, options.rate)
    give_up = time.perf_counter() + PATIENCE
    await _while(lambda: any(connection.busy for connection in connections) and time.perf_counter() < give_up)
    for connection in connections:
        if connection.busy:
            connection.connection_lost(TimeoutError(f"no answer within {PATIENCE:g} s"))
    return tally


async def _while(condition: Callable[[], bool]) -> None:
    while condition():  # noqa: ASYNC110 - an event for each request would cost more than a look now and then
        await asyncio.sleep(0.01)


async def _schedule(tally: Tally, free: deque[Connection], start: float, rate: float) -> None:
    number = 0
    while (due := start + number / rate) < tally.end:
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early + 0.0005)  # uvloop rounds to a millisecond: late by less than one, never early
        if free:
            free.popleft().send(due)
        elif due >= tally.begin:
            tally.dropped += 1
        number += 1


def summary(tally: Tally, seconds: float) -> dict[str, object]:
    """The line of JSON: rates a second, latencies in milliseconds."""
    ordered = sorted(tally.latencies)

    def at(share: float) -> float | None:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3 if ordered else None

    return {
        "rate": len(ordered) / seconds,
        "p50": at(0.5),
        "p99": at(0.99),
        "longest": at(1.0),
        "answered": tally.answered,
        "refused": tally.refused,
        "errors": tally.errors,
        "dropped": tally.dropped,
        "lastError": tally.last_error,
        "clientCPU": (time.process_time() - tally.cpu) * 1e3 / max(1, tally.answered),
    }


def target(url: str) -> tuple[str, int, str]:
    """Host, port and path of a URL on this machine; any other ends the program."""
    parts = urlsplit(url)
    try:
        here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        here = False
    if not here:
        raise SystemExit(f"{url}: only an address of this machine (127.0.0.1, [::1]) may be loaded")
    return str(parts.hostname), parts.port or 80, f"{parts.path}?{parts.query}" if parts.query else parts.path


def arguments() -> argparse.ArgumentParser:
    """What both load generators take."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("body", type=Path)
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--clients", type=int, default=8, help="connections; open loop: the most requests in flight")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds that do not count")
    parser.add_argument("--rate", type=float, default=0.0, help="an open loop of so many requests a second")
    parser.add_argument("--requests", type=int, default=0, help="stop after so many")
    return parser


def main() -> None:
    """Load, and print what came of it."""
    options = arguments().parse_args()
    host, port, path = target(options.url)
    body = options.body.read_bytes()
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {len(body)}", *options.header]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    tally = uvloop.run(_run(options, host, port, request))
    print(json.dumps(summary(tally, max(1e-3, tally.end - tally.begin))))


if __name__ == "__main__":
    main()
