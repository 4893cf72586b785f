"""The kinds of request: what is sent, where, and whether what comes back is right.

Each has the kind of bare loop that does the same work, so that a ratio compares like with like.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PHOTOGRAPH = Path(__file__).parents[3] / "deploy/samples/photographs/branching.jpg"
SIDE = 512  # of the photograph, in pixels; no model here cuts it into tiles
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    name: str
    bare: str  # the bare loop's kind
    path: str
    headers: tuple[str, ...]
    body: bytes
    right: Callable[[bytes, bytes], bool]  # the answer's body, the bare loop's answer

    @property
    def grpc(self) -> bool:
        """Whether it goes over gRPC."""
        return self.path == GRPC_METHOD


def photograph() -> bytes:
    """A square JPEG, the middle of one of the project's samples."""
    picture = cv2.imread(str(_PHOTOGRAPH), cv2.IMREAD_COLOR)
    assert picture is not None
    top, left = ((length - SIDE) // 2 for length in picture.shape[:2])
    done, data = cv2.imencode(".jpg", picture[top : top + SIDE, left : left + SIDE], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()


def kinds(model: str, input_name: str, jpeg: bytes, x: Floats) -> list[Kind]:
    """Every kind, for a model by its name, a photograph and a tensor [1, 3, H, W]."""
    infer = f"/v2/models/{model}/infer"
    tensor = {"name": input_name, "datatype": "FP32", "shape": list(x.shape)}
    flat = {"inputs": [{**tensor, "data": x.ravel().astype(float).tolist()}]}
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": x.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    binary = (f"Inference-Header-Content-Length: {len(head)}", "Content-Type: application/octet-stream")
    image = ("Content-Type: image/jpeg",)
    v2 = ("Content-Type: application/json",)
    return [
        Kind("mask", "mask", "/v1/segment?output=mask", image, jpeg, _same_mask),
        Kind("json", "json", "/v1/segment?output=json", image, jpeg, _same_cracks),
        Kind("v2-json", "tensor", infer, v2, json.dumps(flat).encode(), _same_numbers),
        Kind("v2-binary", "tensor", infer, binary, head + x.tobytes(), _same_bytes),
        Kind("grpc", "tensor", GRPC_METHOD, (), grpc_request(model, input_name, x), _same_bytes),
    ]


def grpc_request(model: str, input_name: str, x: Floats) -> bytes:
    """A ModelInferRequest of the Open Inference Protocol, field by field: the client needs no generated code."""
    shape = b"".join(_varint(size) for size in x.shape)
    tensor = _field(1, input_name.encode()) + _field(2, b"FP32") + _field(3, shape)
    return _field(1, model.encode()) + _field(5, tensor) + _field(7, x.tobytes())


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _same_mask(answer: bytes, bare: bytes) -> bool:
    found, expected = (cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) > 127 for png in (answer, bare))
    return found.shape == expected.shape and bool((found == expected).mean() > 0.999)


def _same_cracks(answer: bytes, bare: bytes) -> bool:
    found, expected = json.loads(answer)["measurements"], json.loads(bare)
    return abs(found["totalLengthPixels"] - expected["totalLengthPixels"]) <= 0.05 * expected["totalLengthPixels"] + 1


def _same_numbers(answer: bytes, bare: bytes) -> bool:
    return _close(np.array(json.loads(answer)["outputs"][0]["data"], np.float32), np.frombuffer(bare, np.float32))


def _same_bytes(answer: bytes, bare: bytes) -> bool:
    """The tensor is the last thing in a binary answer, and in a gRPC one."""
    return len(answer) >= len(bare) and _close(
        np.frombuffer(answer[-len(bare) :], np.float32), np.frombuffer(bare, np.float32)
    )


def _close(found: Floats, expected: Floats) -> bool:
    return found.size == expected.size and bool(np.abs(found.ravel() - expected).max() < 1e-3)
