"""What kubelet, Prometheus and people ask: is the server alive, is it ready, what does it serve, how is it doing.

Called by the application through `routes`. Bodies are small and no model is run.
"""

from __future__ import annotations

from crackseg_serving.engine import Engine
from crackseg_serving.failures import Refused
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import from_refusal
from crackseg_serving.runtime.signature import Signature, TensorSpec


async def health(engine: Engine, _request: Request) -> Response:
    """200 while the process is alive, also while the model loads; 503 if the session hangs or its card has failed."""
    state = engine.state
    if engine.alive:
        return Response.json({"status": "alive"})
    status = "hung" if state.reason == "Hung" else "failed"
    return Response.json({"status": status, "reason": state.reason, "message": state.message}, status=503)


async def ready(engine: Engine, _request: Request) -> Response:
    """200 while the server wants requests, else 503; always with the reason."""
    state = engine.state
    document = {"ready": state.ready, "reason": state.reason, "message": state.message}
    return Response.json(document, status=200 if state.ready else 503)


async def metrics(engine: Engine, request: Request) -> Response:
    """Prometheus text format, or OpenMetrics if that is accepted."""
    return Response(*engine.metrics.exposition(request.headers.get("accept", "")))


async def model_info(engine: Engine, _request: Request) -> Response:
    """What is served, its input and output, the limits, and the model's own metadata."""
    try:
        model = engine.model
    except Refused as refused:
        raise from_refusal(refused) from None
    settings = engine.settings
    return Response.json(
        {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "provider": model.provider,
            "precision": model.precision,
            "thresholdPercent": model.threshold_percent,
            "input": _input(model.signature),
            "output": _output(model.signature),
            "tiles": {
                "height": model.tile[0],
                "width": model.tile[1],
                "overlap": 0 if model.whole else settings.tile_overlap,
                "whole": model.whole,
            },
            "limits": {
                "bytes": settings.max_bytes,
                "pixels": settings.max_pixels,
                "seconds": settings.request_timeout,
                "waitingRequests": settings.max_queue,
            },
            "metadata": model.properties,
        }
    )


def _input(signature: Signature) -> dict[str, object]:
    form = signature.input_format
    return {
        **_tensor(signature.input),
        "layout": form.layout,
        "channels": form.channels,
        "range": f"0..{form.maximum:g}",
        "mean": form.mean,
        "std": form.std,
        "multiple": signature.multiple,
    }


def _output(signature: Signature) -> dict[str, object]:
    form = signature.output_format
    return {
        **_tensor(signature.output),
        "layout": form.layout,
        "activation": form.activation,
        "classes": signature.metadata.classes,
        "crackChannel": form.crack_class,
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
