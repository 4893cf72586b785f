"""Where a model can be run: which of ONNX Runtime's providers a device asks for, and what each has to be told.

Called by what opens sessions. Looks at what the process was given (its library, its cards), opens nothing and runs nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import onnxruntime

from crackseg_serving.failures import ModelFailure
from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
OPENVINO: Final = "OpenVINOExecutionProvider"
BF16: Final = "BF16"  # no file says so: OpenVINO is told to compute in it
_IN_BFLOAT16: Final = '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'
_PROVIDERS: Final = {"CPU": CPU, "CUDA": CUDA, "TensorRT": TENSORRT}


@value
class Profile:
    """The shapes of its input that an engine of TensorRT is built for; one that goes beyond them would be built anew."""

    name: str
    item: tuple[int, ...]  # of one image, without the batch: (3, 512, 512)
    least: int
    most: int

    def shape(self, count: int) -> str:
        """As the provider wants it: `image:8x3x512x512`."""
        return f"{self.name}:{'x'.join(str(size) for size in (count, *self.item))}"


def choose(device: str) -> str:
    """The provider for `device` (Auto, CPU, CUDA, TensorRT). Raises ModelFailure (ProviderFallback): the image has none."""
    available = set(onnxruntime.get_available_providers())
    if device == "Auto":
        device = "CUDA" if CUDA in available and cards() else "CPU"
    if CUDA in available and device != "CPU":
        onnxruntime.preload_dlls()  # the CUDA libraries come from their wheels
    wanted = _PROVIDERS[device]
    if wanted not in available:
        raise fallback(device, f"this image's ONNX Runtime has only {', '.join(sorted(available))}: use the GPU image")
    return wanted


def cards(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> list[int]:
    """The numbers of the NVIDIA cards that the container has been given, as CUDA counts them (the device plugin mounts them)."""
    found = len(list((root / "dev").glob("nvidia[0-9]*")))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = min(found, len([name for name in visible.split(",") if name.strip() not in {"", "-1"}]))
    return list(range(found))


def fallback(device: str, why: str) -> ModelFailure:
    """The failure that a device other than the one asked for would be used."""
    return ModelFailure(
        "ProviderFallback", f"{device} was asked for and is not used; {why}, or ask for device Auto or CPU"
    )


def has_openvino() -> bool:
    """Whether this image has OpenVINO's kernels."""
    return OPENVINO in onnxruntime.get_available_providers()


def has_bfloat16(cpuinfo: str) -> bool:
    """Whether the processor of `cpuinfo` (the kernel's list) multiplies in bfloat16: elsewhere it is emulated, slower than FP32."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def read_cpuinfo() -> str:
    """The kernel's list of processors; empty where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def openvino_options(threads: int, streams: int, *, bfloat16: bool = False) -> dict[str, str]:
    """`streams` runs at once of `threads` each; in `bfloat16`, else in what the file says."""
    return {
        "device_type": "CPU",
        "num_of_threads": str(threads * streams),
        "num_streams": str(streams),
        # Without either, processors with AMX compute in bf16, which nobody has checked.
        **({"load_config": _IN_BFLOAT16} if bfloat16 else {"precision": "FP32"}),
    }


def cuda_options(card: int, *, record: bool) -> dict[str, str]:
    """On `card`; with `record`, a run of a known shape is recorded once, and then started as a whole."""
    return {
        "device_id": str(card),
        "arena_extend_strategy": "kSameAsRequested",  # by powers of two it would take a card's memory from who shares it
        "enable_cuda_graph": "1" if record else "0",
    }


def tensorrt_options(
    card: int, profile: Profile, engines: Path, timings: Path, *, half: bool, record: bool
) -> dict[str, str]:
    """On `card`, for the shapes of `profile`; what is built is kept in `engines`, what was timed on the way in `timings`.

    `half` where the file computes in FP16: TensorRT has to be allowed to.
    """
    return {
        "device_id": str(card),
        "trt_profile_min_shapes": profile.shape(profile.least),
        "trt_profile_opt_shapes": profile.shape(profile.most),
        "trt_profile_max_shapes": profile.shape(profile.most),
        "trt_fp16_enable": "1" if half else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(timings),
        "trt_cuda_graph_enable": "1" if record else "0",
    }
