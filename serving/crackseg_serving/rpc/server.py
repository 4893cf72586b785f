"""The gRPC server around the services: gRPC's own, on the process's event loop.

Started and stopped by the command, like the HTTP server beside it.
"""

from __future__ import annotations

import errno

import grpc

from crackseg_serving.engine import Engine
from crackseg_serving.rpc.service import Service

_BESIDE_THE_TENSOR = 1 << 16  # bytes that a message may have around its tensor
_NOT_LOOKED_AT = 2048  # calls, of 10 KB each
_POLLS = 32  # calls beyond those that admission takes: questions about health are always answered


async def start(engine: Engine) -> grpc.aio.Server:
    """A server that listens on the port of the settings. Raises OSError."""
    settings = engine.settings
    server = grpc.aio.server(
        maximum_concurrent_rpcs=settings.workers + settings.max_queue + _POLLS,
        options=[
            # gRPC takes a message whole before anybody is asked whether there is room for it.
            (
                "grpc.max_receive_message_length",
                min(settings.max_bytes + _BESIDE_THE_TENSOR, engine.admission.most_bytes),
            ),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, and must hear of it
            ("grpc.server_handshake_timeout_ms", 1000 * settings.client_seconds),
            # A call that is taken back at once leaves 10 KB until it is looked at: who does that for ever must not take all memory.
            # Beyond the first of these gRPC cancels some at random, where who is one too many shall hear why: so not too few.
            ("grpc.server.max_pending_requests", _NOT_LOOKED_AT),
            ("grpc.server.max_pending_requests_hard_limit", 2 * _NOT_LOOKED_AT),
            # A peer that is gone without a word is noticed as by HTTP, also one that asks for nothing; its work is called off.
            ("grpc.keepalive_time_ms", 500 * settings.client_seconds),
            ("grpc.keepalive_timeout_ms", 500 * settings.client_seconds),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    server.add_generic_rpc_handlers(tuple(Service(engine).handlers()))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        # The library says no more than that it failed; nearly always another program has the port.
        raise OSError(
            errno.EADDRINUSE, "gRPC cannot have the port, is it in use?", f"{host}:{settings.grpc_port}"
        ) from error
    await server.start()
    return server
