"""`/v2`: the Open Inference Protocol over REST, with JSON and binary tensors.

https://github.com/kserve/open-inference-protocol (REST), and its binary tensor data extension.
"""

from __future__ import annotations

from typing import Final

from crackseg_serving import __version__
from crackseg_serving.engine import Engine, Model
from crackseg_serving.http.body import receive_body
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import Problem
from crackseg_serving.http.tensors import BINARY_HEADER, encode_inference, input_tensor, parse_inference, wants_binary
from crackseg_serving.http.work import perform
from crackseg_serving.runtime.signature import TensorSpec

_JSON_WEIGHT: Final = 5  # numbers parsed from JSON take so many times the memory of their text


def server_metadata() -> Response:
    """GET /v2."""
    return Response.json({"name": "crackseg-serving", "version": __version__, "extensions": ["binary_tensor_data"]})


def model_metadata(model: Model) -> Response:
    """GET /v2/models/NAME."""
    signature = model.signature
    batch = [-1]
    return Response.json(
        {
            "name": model.name,
            "versions": [model.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(signature.input, batch)],
            "outputs": [_tensor(signature.output, batch)],
        }
    )


def _tensor(spec: TensorSpec, batch: list[int]) -> dict[str, object]:
    sizes = [-1 if size is None else size for size in spec.shape[1:]]
    return {"name": spec.name, "datatype": spec.datatype, "shape": batch + sizes}


def check_name(model: Model, name: str, version: str | None) -> None:
    """Raise Problem 404 where another model or version is asked for."""
    if name != model.name:
        raise Problem(404, "Not found", f"there is no model {name!r} here, there is {model.name!r}")
    if version is not None and version != model.version:
        raise Problem(404, "Not found", f"there is no version {version!r} of {name!r} here, there is {model.version!r}")


async def infer(engine: Engine, request: Request) -> Response:
    """POST /v2/models/NAME/infer: a tensor in, the model's raw output out. Raises Refused or Problem."""
    model = engine.model
    spec = model.signature.output
    weight = 1 if BINARY_HEADER in request.headers else _JSON_WEIGHT
    with engine.admission.request() as ticket, engine.admission.body() as grow:
        body = await receive_body(
            request, engine.settings.max_bytes, ticket.remaining, lambda size: grow(size * weight)
        )

        def work() -> tuple[bytes, int | None]:
            with engine.metrics.stage("decode"):
                document, raw = parse_inference(body, request.headers)
                items = input_tensor(document, raw, model.signature, 3 * engine.settings.max_pixels)
                binary = wants_binary(document, spec.name)
            output = engine.run_tensors(items, ticket)
            head: dict[str, object] = {"model_name": model.name, "model_version": model.version}
            if "id" in document:
                head["id"] = document["id"]
            with engine.metrics.stage("encode"):
                return encode_inference(head, spec.name, spec.datatype, output, binary=binary)

        answer, length = await perform(engine, request, ticket, work)
    if length is None:
        return Response(answer)
    return Response(answer, "application/octet-stream", headers={BINARY_HEADER: str(length)})
