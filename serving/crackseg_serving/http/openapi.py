"""`/openapi.json`: what the server accepts and answers, path by path, as OpenAPI 3.1.

A test holds its paths equal to those of `routes`, and another one asks a real server for everything that it promises.
"""

from __future__ import annotations

from typing import Any, Final

from crackseg_serving import __version__
from crackseg_serving.engine import Engine
from crackseg_serving.http import scales
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.inference.tensors import DATATYPES
from crackseg_serving.segmentation import Output

Json = dict[str, Any]

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_TRUTH: Final = {"type": "boolean"}
_POSITIVE: Final = {"type": "number", "exclusiveMinimum": 0}
_PARAMETERS: Final = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_DATATYPE: Final = {"enum": list(DATATYPES)}
_DURATION: Final = {"$ref": "#/components/schemas/Duration"}


async def document(_engine: Engine, _request: Request) -> Response:
    """GET /openapi.json."""
    return Response.json(build())


def build() -> Json:
    """The document."""
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crackseg-serving",
            "version": __version__,
            "description": "Finds and measures cracks in photographs, and runs the model on tensors by the Open Inference Protocol.",
        },
        "paths": {
            "/": {"get": _page()},
            "/v1/segment": {"post": _segment()},
            **_below_model(model, ["model"]),
            **_below_model(version, ["model", "version"]),
            "/v2": {"get": _get("The server's name, version and extensions", _ref("ServerMetadata"))},
            "/v2/health/live": {"get": _get("Whether the process is alive", _ref("Live"), [503])},
            "/v2/health/ready": {"get": _get("Whether requests should come", _ref("Ready"), [503])},
            "/v2/models": {"get": _get("The names of what is served", _ref("Models"), [503])},
            "/v2/models/stats": {"get": _get("Statistics of all models", _ref("Statistics"), [503])},
            "/v2/repository/index": _index(),
            "/v2/repository/models/{model}/load": {"post": _no_change("load")},
            "/v2/repository/models/{model}/unload": {"post": _no_change("unload")},
            "/model/info": {"get": _get("What is served, its input, output and limits", _ref("ModelInfo"), [503])},
            "/openapi.json": {"get": _get("This document", {"type": "object"})},
            "/health": {"get": _get("Whether the process is alive", {"type": "object"}, [503])},
            "/ready": {"get": _get("Whether requests should come", _ref("Ready"), [503])},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": _schemas()},
    }


def _index() -> Json:
    ready = _query("ready", _TRUTH, "Leave out a model that is not ready")
    return {
        "get": _get("The model and its state", _ref("Index"), [400], [ready]),
        "post": {
            **_get("The model and its state", _ref("Index"), [400, 408, 413, 415, 429]),
            "requestBody": {"content": _content(_object(ready=_TRUTH))},
        },
    }


def _below_model(path: str, names: list[str]) -> Json:
    where = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]

    def get(text: str, schema: str) -> Json:
        return {"get": _get(text, _ref(schema), [404, 503], where)}

    infer = {
        **_get("A tensor in, the model's raw output out", _ref("InferenceAnswer"), _WORK, [*where, _timeout()]),
        "requestBody": {"required": True, "content": {**_content(_ref("InferenceRequest")), **_binary()}},
    }
    infer["responses"]["200"]["content"] |= _binary()
    return {
        f"{path}/infer": {"post": infer},
        path: get("What goes in and what comes out", "ModelMetadata"),
        f"{path}/ready": get("Whether the model can be asked", "Ready"),
        f"{path}/config": get("The model's configuration, in Triton's words", "ModelConfig"),
        f"{path}/stats": get("How many requests there were, and how long they took", "Statistics"),
    }


#: What can become of a request with a body and work to do.
_WORK: Final = [400, 404, 408, 413, 415, 429, 500, 503]


_FOUR_NUMBERS: Final = r"^-?\d{1,7}(\.\d{1,3})?(,-?\d{1,7}(\.\d{1,3})?){3}$"


def _segment() -> Json:
    image: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
    url = {"type": "string", "format": "uri", "pattern": "^https?://", "maxLength": 4096}
    parts = {"image": image, "images": _list(image), "url": url, "worldfile": _TEXT}
    form = {
        "type": "object",
        "properties": parts,
        "anyOf": [{"required": [name]} for name in ("image", "images", "url")],
    }
    encoded = {"type": "string", "contentEncoding": "base64"}
    kinds = ("image/jpeg", "image/png", "image/tiff", "image/webp", "image/bmp", "application/octet-stream")
    parameters = [
        _query("output", {"enum": [str(output) for output in Output]}, "What to answer; without it, Accept decides"),
        _query(scales.PIXEL, _POSITIVE, "The scale: how large a pixel is"),
        _query(scales.LENGTH, _POSITIVE, "The scale: how far the two points of referenceLine are apart"),
        _query(scales.MARKER, _POSITIVE, "The scale: how wide the printed markers in the image are"),
        _query(scales.LINE, {"type": "string", "pattern": _FOUR_NUMBERS}, "Two points in pixels: x1,y1,x2,y2"),
        _query(scales.ERROR, {"type": "number", "minimum": 0, "exclusiveMaximum": 100}, "Uncertainty of the scale"),
        _query("worldFile", _TEXT, "Where the image lies: A,D,B,E,C,F, as a world file has them"),
        _timeout(),
    ]
    operation = _get(
        "The cracks of a photograph, or of several",
        {"type": ["object", "array"]},
        sorted([*_WORK, 403, 406, 422, 502, 504]),
        parameters,
    )
    for kind in ("image/png", "image/jpeg", "application/geo+json", "text/csv", "application/x-ndjson"):
        operation["responses"]["200"]["content"][kind] = {}
    content: Json = {kind: {} for kind in kinds} | {"multipart/form-data": {"schema": form}}
    either = {"oneOf": [_object("image", image=encoded), _object("url", url=url)]}
    content |= _content(either) | {"application/zip": {}}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _page() -> Json:
    there = {"description": "The page for people, in one document", "content": {"text/html": {}}}
    same = {"description": "The client already has it (If-None-Match)"}
    return {"summary": "The page for people", "responses": {"200": there, "304": same}}


def _metrics() -> Json:
    texts: Json = {"text/plain": {}, "application/openmetrics-text": {}}
    return {
        "summary": "Metrics",
        "responses": {"200": {"description": "Prometheus text format, or OpenMetrics", "content": texts}},
    }


def _no_change(verb: str) -> Json:
    where = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
    return {"summary": f"Not here: no model is {verb}ed", "parameters": where, "responses": {"501": _problem(501)}}


def _get(summary: str, schema: Json, problems: list[int] | None = None, parameters: list[Json] | None = None) -> Json:
    """An operation that answers JSON."""
    answer = {"description": summary, "content": _content(schema)}
    return {
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        "responses": {"200": answer, **{str(status): _problem(status) for status in problems or []}},
    }


def _problem(status: int) -> Json:
    if status == 503:  # what is not ready says so in its own words
        answer = {"application/problem+json": {"schema": _ref("Problem")}, **_content({"type": "object"})}
        return {"description": "Not now", "content": answer}
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {"description": "No result; `detail` says what to do", "content": content}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _binary() -> Json:
    return {"application/octet-stream": {}}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _timeout() -> Json:
    return {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds after which the answer is of no use",
        "schema": _POSITIVE,
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(*required: str, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _all(**properties: Json) -> Json:
    """An object that has all of these."""
    return _object(*properties, **properties)


def _list(items: Json, **more: object) -> Json:
    return {"type": "array", "items": items, **more}


def _schemas() -> Json:
    tensor = _all(name=_TEXT, datatype=_DATATYPE, shape=_list(_WHOLE))
    problem: Json = dict.fromkeys(("type", "title", "detail", "instance"), _TEXT) | {"status": _WHOLE}
    objects = _list({"type": "object"})
    config = _all(name=_TEXT, platform=_TEXT, max_batch_size=_WHOLE, input=objects, output=objects)
    return {
        "Problem": _object(*problem, **problem, error=_TEXT),
        "ServerMetadata": _all(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
        "Live": _all(live=_TRUTH),
        "Ready": _object("ready", "reason", "message", name=_TEXT, ready=_TRUTH, reason=_TEXT, message=_TEXT),
        "Models": _all(models=_list(_TEXT)),
        "ModelMetadata": _all(
            name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_list(tensor), outputs=_list(tensor)
        ),
        "ModelConfig": config,
        "ModelInfo": _model_info(),
        "Index": _list(_all(name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)),
        "Duration": _all(count=_WHOLE, ns=_WHOLE),
        "Statistics": _all(model_stats=_list(_statistics())),
        **_inference(),
    }


def _inference() -> Json:
    numbers = {"type": "array", "description": "Numbers, flat or nested as the shape says"}
    described: Json = {"name": _TEXT, "datatype": _DATATYPE, "shape": _list(_WHOLE)}
    tensor = _object(*described, **described, parameters=_PARAMETERS, data=numbers)
    wanted = _object("name", name=_TEXT, parameters=_PARAMETERS)
    answer: Json = {"model_name": _TEXT, "model_version": _TEXT, "outputs": _list(tensor, minItems=1)}
    return {
        "InferenceRequest": _object(
            "inputs",
            id=_TEXT,
            parameters=_PARAMETERS,
            inputs=_list(tensor, minItems=1, maxItems=1),
            outputs=_list(wanted),
        ),
        "InferenceAnswer": _object(*answer, **answer, id=_TEXT),
    }


def _model_info() -> Json:
    figures, shape = _list({"type": "number"}), _list({"type": ["integer", "null"]})
    tensor: Json = {"name": _TEXT, "datatype": _DATATYPE, "shape": shape, "layout": {"enum": ["NCHW", "NHWC"]}}
    return _all(
        **dict.fromkeys(("name", "version", "digest", "provider", "precision"), _TEXT),
        thresholdPercent=_WHOLE,
        input=_all(**tensor, channels=_TEXT, range=_TEXT, mean=figures, std=figures, multiple=_list(_WHOLE)),
        output=_all(**tensor, activation=_TEXT, classes=_list(_TEXT), crackChannel=_WHOLE),
        tiles=_all(height=_WHOLE, width=_WHOLE, overlap=_WHOLE, whole=_TRUTH),
        limits=_all(bytes=_WHOLE, pixels=_WHOLE, seconds=_WHOLE, waitingRequests=_WHOLE),
        metadata={"type": "object", "additionalProperties": _TEXT},
    )


def _statistics() -> Json:
    run = _all(batch_size=_WHOLE, compute_input=_DURATION, compute_infer=_DURATION, compute_output=_DURATION)
    parts = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
    return _all(
        name=_TEXT,
        version=_TEXT,
        last_inference=_WHOLE,
        inference_count=_WHOLE,
        execution_count=_WHOLE,
        inference_stats=_all(**dict.fromkeys(parts, _DURATION)),
        batch_stats=_list(run),
    )
