"""What the server says of itself and of its model, in the protocol's words: plain documents, the same on every wire.

The keys are the published messages' field names, so that REST writes a document as JSON and gRPC as a message.
"""

from __future__ import annotations

from typing import Any, Final

from crackseg_serving import __version__
from crackseg_serving.engine import Engine, Model
from crackseg_serving.failures import Refused
from crackseg_serving.runtime.signature import TensorSpec

Document = dict[str, Any]

NAME: Final = "crackseg-serving"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
NO_CHANGES: Final = "this server serves one model for its whole life: another one is a rollout, which the operator does"
NO_SHARED_MEMORY: Final = "shared memory is not served: send and take the tensors' bytes"
NO_SETTINGS: Final = (
    "what is traced and logged is not for clients to set: LOG_LEVEL and ACCESS_LOG_SAMPLE are settings of the server"
)
#: A request may bring any number of items: they are run in as many parts as needed. Triton's word needs a number.
_ITEMS: Final = 256
_PLATFORM: Final = "onnx_onnxv1"  # as the protocol names it
_TRITON_PLATFORM: Final = "onnxruntime_onnx"


def server_metadata() -> Document:
    """Name, version and extensions."""
    return {"name": NAME, "version": __version__, "extensions": list(EXTENSIONS)}


def unknown(model: Model, name: str, version: str) -> str | None:
    """Why `name` and `version` (empty: any) are not what is served; None where they are. Begins as Triton's clients expect."""
    if name != model.name:
        return f"Request for unknown model: {name!r:.200} is not found, there is {model.name!r}"
    if version and version != model.version:
        return f"Request for unknown model: {name!r} version {version!r:.200} is not found, there is {model.version!r}"
    return None


def model_metadata(model: Model) -> Document:
    """What goes in and what comes out."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": _PLATFORM,
        "inputs": [_tensor(model.signature.input)],
        "outputs": [_tensor(output) for output in model.signature.outputs],
    }


def _tensor(spec: TensorSpec) -> Document:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *_dims(spec)]}


def _dims(spec: TensorSpec) -> list[int]:
    return [-1 if size is None else size for size in spec.shape[1:]]


def model_config(engine: Engine) -> Document:
    """Triton's model configuration, as far as it says something here."""
    model, settings = engine.model, engine.settings
    signature = model.signature
    on_cpu = model.provider.startswith(("CPU", "OpenVINO"))
    return {
        "name": model.name,
        "platform": _TRITON_PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": _ITEMS,
        "input": [
            {
                "name": signature.input.name,
                "data_type": f"TYPE_{signature.input.datatype}",
                "format": f"FORMAT_{signature.input_format.layout}",
                "dims": _dims(signature.input),
            }
        ],
        "output": [
            {"name": output.name, "data_type": f"TYPE_{output.datatype}", "dims": _dims(output)}
            for output in signature.outputs
        ],
        "instance_group": [
            {
                "name": f"{model.name}_0",
                "kind": "KIND_CPU" if on_cpu else "KIND_GPU",
                "count": settings.processors if on_cpu else 1,
            }
        ],
        "default_model_filename": settings.model_path.name,
        "parameters": {key: {"string_value": value} for key, value in sorted(model.properties.items())},
    }


def repository_index(engine: Engine, *, ready_only: bool) -> list[Document]:
    """The one model that is served or being loaded."""
    state = engine.state
    try:
        model = engine.model
    except Refused:
        name, version = engine.settings.model_name or "model", engine.settings.model_version
        entry = {"name": name, "version": version, "state": "LOADING", "reason": state.message}
        return [] if ready_only else [entry]
    if state.ready:
        return [{"name": model.name, "version": model.version, "state": "READY", "reason": ""}]
    entry = {"name": model.name, "version": model.version, "state": "UNAVAILABLE", "reason": state.message}
    return [] if ready_only else [entry]


def statistics(engine: Engine) -> Document:
    """The statistics extension's answer."""
    model = engine.model
    return {"model_stats": [{"name": model.name, "version": model.version, **engine.metrics.statistics.document()}]}
