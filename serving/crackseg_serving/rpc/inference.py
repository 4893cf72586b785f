"""ModelInfer and ModelStreamInfer: tensors in, the model's raw output out; messages as bytes on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import Any, Final

import numpy as np
from grpc import StatusCode

from crackseg_serving.engine import Engine, Model
from crackseg_serving.failures import Cause, Refused, let_go
from crackseg_serving.inference import describe
from crackseg_serving.inference.classes import DATATYPE, PARAMETER, as_bytes, replaced, wanted_classes
from crackseg_serving.inference.tensors import DATATYPES, Array, check_parameters, expect, wanted_outputs, wrong
from crackseg_serving.inference.work import inference, max_elements, shorten
from crackseg_serving.rpc.inference_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from crackseg_serving.rpc.status import Failure, from_refusal
from crackseg_serving.rpc.wire import read_request, write_response, write_streamed
from crackseg_serving.runtime.signature import TensorSpec

Parts = list[bytes | memoryview]

#: The field of a request's `contents` that has the elements of a type.
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
_NUMBERS: Final = {"b": "?", "i": "i8", "u": "u8", "f": "f8"}


def check_model(model: Model, name: str, version: str) -> None:
    """Raise Failure (NOT_FOUND) where another model or version is asked for."""
    why = describe.unknown(model, name, version)
    if why:
        raise Failure(StatusCode.NOT_FOUND, 404, why, "not-found")


async def infer(engine: Engine, message: bytes, timeout: float | None, *, streamed: bool = False) -> bytes:  # noqa: ASYNC109 - the client's deadline, which the engine keeps
    """The answer to one request. Raises Failure or Refused."""
    statistics, began = engine.metrics.statistics, time.perf_counter()
    engine.model  # noqa: B018 - refuse where there is no model yet
    try:
        with engine.admission.request(timeout) as ticket, engine.admission.body() as grow:
            grow(len(message))
            asked, wanted, classes = ModelInferRequest(), engine.model.signature.outputs, list[int]()

            def read() -> tuple[Array, list[str]]:
                nonlocal asked, wanted, classes
                asked, raw = read_request(message)
                check_model(engine.model, asked.model_name, asked.model_version)
                shorten(ticket, _timeout(asked))
                wanted = wanted_outputs(engine.model.signature, [one.name for one in asked.outputs])
                classes = [
                    wanted_classes(spec, _classes(one)) for spec, one in zip(wanted, asked.outputs, strict=False)
                ]
                return _input(engine, asked, raw), [spec.name for spec in wanted]

            def write(outputs: list[Array]) -> bytes:
                outputs = replaced(engine.model.signature, wanted, classes, outputs)
                parts = _answer(engine.model, asked, wanted, outputs, streamed=streamed)
                return b"".join(write_streamed(parts) if streamed else parts)

            done = asyncio.wrap_future(engine.start(inference(engine, ticket, read, write), ticket))
            try:
                await asyncio.wait({done})
            except asyncio.CancelledError:
                ticket.cancel()
                # The worker holds the message until it looks at its ticket: so does the request.
                await asyncio.wait({done})
                done.exception()
                raise
            answer, times = done.result()
    except BaseException:
        statistics.failed(time.perf_counter() - began)
        raise
    statistics.succeeded(time.perf_counter() - began, times)
    return answer


def _timeout(request: ModelInferRequest) -> float | None:
    """Triton's reserved parameter: microseconds."""
    given = request.parameters.get("timeout")
    if given is None:
        return None
    microseconds = given.int64_param or given.uint64_param
    if microseconds < 0:
        raise Refused(Cause.BAD_REQUEST, "parameter timeout must be microseconds, a whole number")
    return microseconds / 1e6 or None


def _input(engine: Engine, request: ModelInferRequest, raw: list[memoryview]) -> Array:
    """The model's one input."""
    signature = engine.model.signature
    inputs = request.inputs
    first = inputs[0] if inputs else ModelInferRequest.InferInputTensor()
    names = [one.name for one in inputs]
    check_parameters(first.name, first.parameters)
    for wanted in request.outputs:
        check_parameters(wanted.name, wanted.parameters)
    expected = expect(signature, names, first.datatype, list(first.shape), max_elements(engine))
    if raw:
        if len(raw) != 1 or first.HasField("contents"):
            raise wrong(f"input {first.name!r} needs raw_input_contents once, or contents, not both")
        return expected.from_bytes(raw[0])
    field = _CONTENTS.get(first.datatype)
    if field is None:
        raise wrong(f"input {first.name!r} is {first.datatype}, which only raw_input_contents can hold")
    kind = _NUMBERS[DATATYPES[first.datatype].kind]
    return expected.from_numbers(np.fromiter(getattr(first.contents, field), kind))


def _answer(
    model: Model, request: ModelInferRequest, wanted: Sequence[TensorSpec], outputs: Sequence[Array], *, streamed: bool
) -> Parts:
    arrays = [
        output if output.dtype.kind == "O" else np.ascontiguousarray(output, DATATYPES[spec.datatype])
        for spec, output in zip(wanted, outputs, strict=True)
    ]
    response = ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        outputs=[
            {
                "name": spec.name,
                "datatype": DATATYPE if array.dtype.kind == "O" else spec.datatype,
                "shape": array.shape,
            }
            for spec, array in zip(wanted, arrays, strict=True)
        ],
    )
    if streamed:
        response.parameters["triton_final_response"].bool_param = True
    return write_response(
        response,
        [memoryview(as_bytes(array)) if array.dtype.kind == "O" else array.data.cast("B") for array in arrays],
    )


def _classes(output: ModelInferRequest.InferRequestedOutputTensor) -> int | None:
    given = output.parameters.get(PARAMETER)
    return None if given is None else given.int64_param or given.uint64_param


async def stream(
    engine: Engine,
    messages: AsyncIterable[bytes],
    timeout: float | None,  # noqa: ASYNC109 - as above
    write: Callable[[bytes], Awaitable[None]],
) -> None:
    """Answer a stream of requests, in their order; as many are worked on at once as there are places.

    Where the client leaves, they are called off. Raises what `write` raises.
    """
    answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(engine.settings.workers)
    try:
        async with asyncio.TaskGroup() as tasks:

            async def receive() -> None:
                async for message in messages:
                    await answers.put(tasks.create_task(_one(engine, message, timeout)))
                await answers.put(None)

            tasks.create_task(receive())
            while (answer := await answers.get()) is not None:
                await write(await answer)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _one(engine: Engine, message: bytes, timeout: float | None) -> bytes:  # noqa: ASYNC109 - as above
    """One answer of a stream: what goes wrong with it is told in it, and the stream goes on."""
    try:
        return await infer(engine, message, timeout, streamed=True)
    except Failure as failure:
        let_go(failure)
        return _failed(message, failure.message)
    except Refused as refused:
        engine.metrics.rejected.labels(refused.cause.value).inc()
        let_go(refused)
        return _failed(message, from_refusal(refused).message)


def _failed(message: bytes, why: str) -> bytes:
    identity = ""
    with contextlib.suppress(Refused):
        identity = read_request(message)[0].id
    response: dict[str, Any] = {"id": identity}
    return ModelStreamInferResponse(error_message=why, infer_response=response).SerializeToString()
