"""Sending a photograph and reading what comes back: measurements, mask and overlay.

Speaks the server's HTTP surface with the standard library; the arithmetic on masks is OpenCV's.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_demo.kubectl import wait_until
from crackseg_demo.load import Target
from crackseg_demo.terminal import StepFailed

_SECONDS = 60
_ROUTE_SECONDS = 120


def segment(target: Target, photograph: bytes, output: str) -> bytes:
    """The answer to one photograph: `output` is mask, overlay or json. Raises StepFailed with the server's explanation."""
    headers = {"Host": target.host, "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{target.url}/v1/segment?output={output}", photograph, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the Ingress
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        raise StepFailed(f"/v1/segment answered {error.code}: {error.read().decode(errors='replace')[:500]}") from None
    except OSError as error:
        raise StepFailed(f"/v1/segment at {target.url} (Host: {target.host}) did not answer: {error}") from None


def measurements(target: Target, photograph: bytes) -> dict[str, Any]:
    """What the server measured: lengths, widths and areas in pixels."""
    found: dict[str, Any] = json.loads(segment(target, photograph, "json"))["measurements"]
    return found


def ready(target: Target) -> bool:
    """Whether the model answers through the Ingress."""
    request = urllib.request.Request(f"{target.url}/ready", headers={"Host": target.host})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the Ingress
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for_route(target: Target) -> None:
    """Wait until the Ingress controller, which learns of a new host a moment after the API server, knows the way."""
    wait_until(lambda: ready(target), _ROUTE_SECONDS, f"the Ingress at {target.url} leads to {target.host}")


def mask(png: bytes) -> NDArray[np.bool_]:
    """A mask's PNG as an array: True where there is crack."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise StepFailed("The mask is not a PNG that can be read.")
    return np.asarray(image > 127)


def middle(photograph: bytes, side: int = 256) -> bytes:
    """The middle of a photograph as a JPEG: small, so that a load of many requests leaves room for what it watches."""
    image = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise StepFailed("The first photograph is not an image that can be read.")
    top, left = (max(0, (extent - side) // 2) for extent in image.shape[:2])
    return bytes(cv2.imencode(".jpg", image[top : top + side, left : left + side])[1])


def intersection_over_union(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """How well two masks agree, 0 to 1; 1 where both are empty."""
    if found.shape != true.shape:
        raise StepFailed(f"The mask has shape {found.shape}, the photograph's own mask {true.shape}.")
    union = int((found | true).sum())
    return float((found & true).sum() / union) if union else 1.0
