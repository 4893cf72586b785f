"""The load generator for gRPC: the same command line and figures as `load`, over HTTP/2 with the published client library.

    python -m tests.bench.serving.grpc_load http://127.0.0.1:8081 BODY --clients 8

The message goes out and comes back as bytes: nothing is parsed here. At most eight connections carry the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import grpc
from tests.bench.serving.kinds import GRPC_METHOD
from tests.bench.serving.load import PATIENCE, Tally, arguments, summary, target

_LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_CONNECTIONS = 8


async def _run(options: argparse.Namespace, host: str, port: int) -> Tally:
    body = options.body.read_bytes()
    start = time.perf_counter()
    tally = Tally(start + options.warm_up, start + options.warm_up + options.seconds, options.requests)
    channels = [
        grpc.aio.insecure_channel(f"{host}:{port}", [*_LIMITS, ("number", number)])
        for number in range(min(options.clients, _CONNECTIONS))
    ]
    calls = [channel.unary_unary(GRPC_METHOD) for channel in channels]

    async def client(number: int) -> None:
        while tally.goes_on(since := time.perf_counter()):
            tally.sent += 1
            try:
                await calls[number % len(calls)](body, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                busy = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                tally.failed(f"{error.code()}: {error.details()}"[:300], refused=busy)
                await asyncio.sleep(0.005)
            else:
                tally.done(since, now := time.perf_counter(), by=now)

    await asyncio.gather(*(client(number) for number in range(options.clients)))
    tally.end = min(tally.end, time.perf_counter())
    for channel in channels:
        await channel.close()
    return tally


def main() -> None:
    """Load, and print what came of it."""
    options = arguments().parse_args()
    host, port, _ = target(options.url)
    tally = asyncio.run(_run(options, host, port))
    print(json.dumps(summary(tally, max(1e-3, tally.end - tally.begin))))


if __name__ == "__main__":
    main()
