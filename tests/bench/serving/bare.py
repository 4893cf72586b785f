"""The bare loop: the same work in a process without a server, ONNX Runtime and OpenCV as most people write it.

    python -m tests.bench.serving.bare MODEL mask|json|tensor PHOTOGRAPH SECONDS LOOPS THREADS [FILE]

LOOPS threads, each with a session of THREADS threads. One line of JSON comes out; the first answer goes to FILE. It shares
no code with the server but for what makes a mask of probabilities and measures it: that is what a request asks for.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import cv2
import numpy as np
import onnxruntime
import orjson
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.imaging.threshold import SPECK_PIXELS

Floats = NDArray[np.float32]

#: By device (INFERENCE_DEVICE): what a team would ask of ONNX Runtime.
PROVIDERS = {
    "CPU": ["CPUExecutionProvider"],
    "CUDA": ["CUDAExecutionProvider"],
    "TensorRT": [
        ("TensorrtExecutionProvider", {"trt_engine_cache_enable": "1", "trt_engine_cache_path": "/tmp/bare-engines"})
    ],
}


class Handler:
    """What a team would write: one session, one method a kind of request."""

    def __init__(self, model: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        device = os.environ.get("INFERENCE_DEVICE", "CPU")
        if device != "CPU":
            onnxruntime.preload_dlls()
        self._session = onnxruntime.InferenceSession(model, options, providers=PROVIDERS[device])
        self.input_name = self._session.get_inputs()[0].name
        said = self._session.get_modelmeta().custom_metadata_map
        mean, std = (said.get(f"crackseg.input.{key}", default) for key, default in (("mean", "0"), ("std", "1")))
        self._side = int(said.get("crackseg.input.size", "0"))  # 0: the picture as it is
        self._mean, self._std = (np.array(figures.split(","), np.float32) for figures in (mean, std))

    def decoded(self, photograph: bytes) -> NDArray[np.uint8]:
        """[H, W, 3], BGR."""
        return cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR)

    def input(self, pixels: NDArray[np.uint8]) -> Floats:
        """[1, 3, H, W]."""
        if self._side:
            pixels = cv2.resize(pixels, (self._side, self._side))
        x = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        if self._mean.any() or (self._std != 1).any():
            x = (x - self._mean) / self._std
        return np.ascontiguousarray(x.transpose(2, 0, 1)[None])

    def tensor(self, x: Floats) -> Floats:
        """[1, 1, H, W], probabilities."""
        return self._session.run(None, {self.input_name: x})[0]

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[H, W] as the model sees it, 0..255."""
        return cv2.convertScaleAbs(self.tensor(self.input(pixels))[0, 0], alpha=255)

    def mask(self, photograph: bytes) -> bytes:
        """PNG."""
        pixels = self.decoded(photograph)
        probabilities, (height, width) = self.probabilities(pixels), pixels.shape[:2]
        speck = round(SPECK_PIXELS * len(probabilities) / height)
        mask = imaging.threshold(probabilities, 50, speck)
        return cv2.imencode(".png", cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST))[1].tobytes()

    def json(self, photograph: bytes) -> bytes:
        """Measurements."""
        pixels = self.decoded(photograph)
        probabilities = cv2.resize(self.probabilities(pixels), pixels.shape[1::-1])
        mask = imaging.threshold(probabilities, 50)
        measured = imaging.measure(mask, probabilities, threshold_percent=50)
        return orjson.dumps(measured.to_dict())


def work(handler: Handler, kind: str, photograph: bytes) -> Callable[[], object]:
    """One request's work as a call."""
    if kind == "tensor":
        x = handler.input(handler.decoded(photograph))
        return lambda: handler.tensor(x)
    return lambda: getattr(handler, kind)(photograph)


def loops(calls: list[Callable[[], object]], seconds: float) -> dict[str, float]:
    """All calls again and again, a thread each; a round of each that does not count comes first."""
    for call in calls * 2:
        call()
    latencies: list[float] = []
    cpu, start = time.process_time(), time.perf_counter()
    end = start + seconds

    def repeat(call: Callable[[], object]) -> None:
        while (began := time.perf_counter()) < end:
            call()
            latencies.append(time.perf_counter() - began)

    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    latencies.sort()
    return {
        "rate": len(latencies) / elapsed,
        "p50": latencies[len(latencies) // 2] * 1e3,
        "cpu": cpu * 1e3 / len(latencies),
    }


def main() -> None:
    """Loop for some seconds, or (0 seconds) answer once."""
    model, kind, photograph, seconds, count, threads, *keep = sys.argv[1:]
    if int(count) > 1:
        cv2.setNumThreads(1)
    data = Path(photograph).read_bytes()
    calls = [work(Handler(model, int(threads)), kind, data) for _ in range(int(count))]
    first = calls[0]()
    if keep:
        Path(keep[0]).write_bytes(first if isinstance(first, bytes) else first.tobytes())
    print(json.dumps(loops(calls, float(seconds)) if float(seconds) else {}))


if __name__ == "__main__":
    main()
