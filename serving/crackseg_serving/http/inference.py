"""`/v2/models/NAME/infer`: the Open Inference Protocol's inference over REST, with JSON and binary tensors.

https://github.com/kserve/open-inference-protocol (REST), and its binary tensor data extension.
"""

from __future__ import annotations

import time

from crackseg_serving.engine import Engine
from crackseg_serving.http.body import receive_body
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.tensors import BINARY_HEADER, InferenceRequest, json_weight, read_request, write_answer
from crackseg_serving.http.work import perform, timeout_of
from crackseg_serving.inference.classes import replaced
from crackseg_serving.inference.tensors import Array
from crackseg_serving.inference.work import inference, max_elements, shorten

Answer = tuple[bytes, int | None]


async def infer(engine: Engine, request: Request) -> Response:
    """POST /v2/models/NAME/infer: a tensor in, the model's raw outputs out. Raises Refused or Problem."""
    statistics, began = engine.metrics.statistics, time.perf_counter()
    try:
        with engine.admission.request(timeout_of(request)) as ticket, engine.admission.body() as grow:
            body = await receive_body(engine, request, ticket, grow)
            asked: InferenceRequest | None = None

            def read() -> tuple[Array, list[str]]:
                nonlocal asked
                weight = json_weight(body, request.headers)
                grow(weight)
                asked = read_request(body, request.headers, engine.model.signature, max_elements(engine), weight)
                shorten(ticket, asked.timeout)
                return asked.items, [spec.name for spec, _ in asked.outputs]

            def write(outputs: list[Array]) -> Answer:
                assert asked is not None  # read before it is run
                head: dict[str, object] = {"model_name": engine.model.name, "model_version": engine.model.version}
                if asked.id is not None:
                    head["id"] = asked.id
                specs = [spec for spec, _ in asked.outputs]
                return write_answer(
                    head, asked.outputs, replaced(engine.model.signature, specs, asked.classes, outputs)
                )

            work = inference(engine, ticket, read, write)
            (answer, length), times = await perform(engine, request, ticket, work)
    except BaseException:
        statistics.failed(time.perf_counter() - began)
        raise
    statistics.succeeded(time.perf_counter() - began, times)
    if length is None:
        return Response(answer)
    return Response(answer, "application/octet-stream", headers={BINARY_HEADER: str(length)})
