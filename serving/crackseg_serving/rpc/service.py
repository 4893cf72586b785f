"""The services: every method once, with its errors, its metrics and its line in the log.

Called by gRPC for each call. Whatever happens in a method, the client gets a status and the server goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from crackseg_serving import contract
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused, let_go
from crackseg_serving.identity import REQUEST_ID, printable, request_id
from crackseg_serving.inference import describe
from crackseg_serving.logs import AccessLog
from crackseg_serving.rpc import health_pb2, inference, inference_pb2
from crackseg_serving.rpc.status import Failure, from_refusal

_LOG = logging.getLogger("crackseg.rpc")
#: Calls that machines make every few seconds: not worth a line in the log.
_POLLED: Final = frozenset({"ServerLive", "ServerReady", "ModelReady", "Check"})
_WATCH_SECONDS: Final = 0.5  # how late who watches the health may hear of a change

#: What Triton's extensions have and this server does not do: more than "method not found" is due to who asks.
_REFUSED: Final = {
    **dict.fromkeys(("RepositoryModelLoad", "RepositoryModelUnload"), describe.NO_CHANGES),
    **dict.fromkeys(
        (f"{kind}SharedMemory{what}" for kind in ("System", "Cuda") for what in ("Status", "Register", "Unregister")),
        describe.NO_SHARED_MEMORY,
    ),
    **dict.fromkeys(("TraceSetting", "LogSettings"), describe.NO_SETTINGS),
}

Document = dict[str, Any]
T = TypeVar("T")


class Service:
    """All methods over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = AccessLog(engine.settings.access_log_sample)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """What the server is given, one for each published service."""
        simple: dict[str, Callable[[Any], Document]] = {
            "ServerLive": lambda _: {"live": self._engine.alive},
            "ServerReady": lambda _: {"ready": self._engine.state.ready},
            "ServerMetadata": lambda _: describe.server_metadata(),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda request: self._of_model(
                request, lambda: describe.model_metadata(self._engine.model)
            ),
            "ModelConfig": lambda request: self._of_model(
                request, lambda: {"config": describe.model_config(self._engine)}
            ),
            "ModelStatistics": lambda request: self._of_model(request, lambda: describe.statistics(self._engine)),
            "RepositoryIndex": lambda request: {
                "models": describe.repository_index(self._engine, ready_only=request.ready)
            },
            "Check": self._health,
        }
        found = []
        for file in (inference_pb2, health_pb2):
            for service in file.DESCRIPTOR.services_by_name.values():
                methods = {method.name: method for method in service.methods}
                table = {name: self._unary(method, simple[name]) for name, method in methods.items() if name in simple}
                if "ModelInfer" in methods:
                    table["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
                    table["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
                if "Watch" in methods:
                    table["Watch"] = grpc.unary_stream_rpc_method_handler(
                        self._watch,
                        health_pb2.HealthCheckRequest.FromString,
                        health_pb2.HealthCheckResponse.SerializeToString,
                    )
                assert table.keys() == methods.keys()
                found.append(grpc.method_handlers_generic_handler(service.full_name, table))
        refused = {name: grpc.unary_unary_rpc_method_handler(_refuse(why)) for name, why in _REFUSED.items()}
        return [*found, grpc.method_handlers_generic_handler("inference.GRPCInferenceService", refused)]

    def _unary(self, method: Any, answer: Callable[[Any], Document]) -> grpc.RpcMethodHandler:
        response = GetMessageClass(method.output_type)

        async def handle(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            async def work() -> Message:
                return response(**answer(request))

            return await self._answered(method.name, context, work)

        return grpc.unary_unary_rpc_method_handler(
            handle, GetMessageClass(method.input_type).FromString, response.SerializeToString
        )

    def _model_ready(self, request: Any) -> Document:
        return self._of_model(request, lambda: {"ready": self._engine.state.ready})

    def _of_model(self, request: Any, answer: Callable[[], Document]) -> Document:
        model = self._engine.model
        inference.check_model(model, request.name or model.name, request.version)
        return answer()

    def _health(self, request: Any) -> Document:
        status = self._status(request.service)
        if status == "SERVICE_UNKNOWN":
            raise Failure(grpc.StatusCode.NOT_FOUND, 404, f"there is no service {request.service!r:.100}", "not-found")
        return {"status": status}

    def _status(self, service: str) -> str:
        """A service's health, in the published words; without a name that of all."""
        known = {name for file in (inference_pb2, health_pb2) for name in _services(file)}
        if service and service not in known:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._engine.state.ready else "NOT_SERVING"

    async def _watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """The health now, and whenever it changes, until the client leaves or the server stops.

        No request that is counted: it is there for as long as its client is.
        """
        told = ""
        while True:
            draining, status = self._engine.state.reason == "Draining", self._status(request.service)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if draining:  # its end must not wait for those who watch
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the server has been asked to stop")
            await asyncio.sleep(_WATCH_SECONDS)

    async def _infer(self, message: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        async def work() -> bytes:
            return await inference.infer(self._engine, message, context.time_remaining())

        return await self._answered("ModelInfer", context, work)

    async def _stream(self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async def write(answer: bytes) -> None:
            try:
                await context.write(answer)
            except grpc.aio.InternalError:
                raise Refused(Cause.CLIENT_GONE, "the client closed the stream") from None

        async def work() -> None:
            await inference.stream(self._engine, messages, context.time_remaining(), write)

        await self._answered("ModelStreamInfer", context, work)

    async def _answered(
        self, method: str, context: grpc.aio.ServicerContext[Any, Any], work: Callable[[], Awaitable[T]]
    ) -> T:
        """The result of `work`; what goes wrong as a status."""
        engine, began = self._engine, time.perf_counter()
        status, why = 499, dict[str, str]()  # as it is where the call is cancelled
        identity = request_id(_given_id(context))
        told = [(REQUEST_ID, identity), (contract.VERSION_HEADER.lower(), printable(engine.version))]
        try:
            with engine.metrics.in_flight.track_inprogress():
                context.set_trailing_metadata(tuple(told))
                result = await work()
            status = 200
        except Exception as error:  # noqa: BLE001 - whatever happens is answered, and the server goes on
            failure = _failure(error, identity)
            let_go(error)
            status, why = failure.counted, {"reason": failure.kind, "problem": failure.message}
            engine.metrics.rejected.labels(failure.kind).inc()
            if failure.retry_after:
                told.append(("grpc-retry-pushback-ms", str(1000 * failure.retry_after)))
            await context.abort(failure.code, failure.message, tuple(told))
            raise AssertionError("abort always raises") from None
        finally:
            seconds = time.perf_counter() - began
            engine.metrics.answered(f"grpc:{method}", status, seconds, identity)
            if method not in _POLLED:
                self._log.write("gRPC", method, status, seconds, identity, **why)
        return result


def _refuse(why: str) -> Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[None]]:
    async def refuse(_message: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, why)

    return refuse


def _failure(error: Exception, identity: str) -> Failure:
    """What went wrong, as the client is told; what is the server's fault goes to its log."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, Refused):
        if isinstance(error.__cause__, Exception):
            _LOG.error("request %s: %s", identity, error.message, exc_info=error.__cause__)
        return from_refusal(error)
    _LOG.error("request %s failed", identity, exc_info=error)
    message = f"the server failed; its log has the cause under request {identity}"
    return Failure(grpc.StatusCode.INTERNAL, 500, message, "internal-error")


def _services(file: Any) -> list[str]:
    return [service.full_name for service in file.DESCRIPTOR.services_by_name.values()]


def _given_id(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The client's own id, if it sent one."""
    found = (value for key, value in context.invocation_metadata() or () if key == REQUEST_ID)
    return next((value for value in found if isinstance(value, str)), "")
