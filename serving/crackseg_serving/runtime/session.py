"""One ONNX Runtime session: opened on the device asked for, with the threads asked for; arrays in, arrays out.

Thread-safe: `run` may be called from many threads at once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.runtime.signature import DATATYPES, DTYPES, Signature, TensorSpec, read_signature

_LOG = logging.getLogger("crackseg.runtime")

VERSION: Final[str] = onnxruntime.__version__

_CPU, _CUDA, _TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_OPENVINO = "OpenVINOExecutionProvider"
_SPIN_MICROSECONDS: Final = "200"  # from one operator to the next; longer only where others need the core
#: What to try, best first; the first of each is the one that was asked for.
_PROVIDERS: Final = {
    "CPU": (_CPU,),
    "CUDA": (_CUDA, _CPU),
    "TensorRT": (_TENSORRT, _CUDA, _CPU),
}


class Session:
    """A loaded model. `signature` is as the graph declares it until the warm-up has settled it.

    On the processor it has two ways to run: on one core, for many runs at once, and on all, for one that is alone.
    """

    def __init__(self, session: Any, wide: Any | None, signature: Signature, properties: dict[str, str]) -> None:
        self._session = session
        self._wide = wide
        self.signature = signature
        self.properties = properties  # the model's metadata, as written
        self.provider: str = session.get_providers()[0]

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the processor."""
        return self.provider in {_CPU, _OPENVINO}

    @property
    def in_caller(self) -> bool:
        """Whether a run on one core is computed by the thread that asks for it, so that its clock says what it costs."""
        return self.provider == _CPU

    @property
    def can_run_wide(self) -> bool:
        """Whether there is a way to run on all cores."""
        return self._wide is not None

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.generic]:
        """The output for `batch`, as many as went in. A graph of fixed batch size is run as often as needed, filled up."""
        return self._run(self._session, batch, (self.signature.output.name,))[0]

    def run_outputs(self, batch: NDArray[np.generic], names: Sequence[str]) -> list[NDArray[np.generic]]:
        """The same for several outputs, in the order of their names. Raises ValueError where one has not as many as went in."""
        return self._run(self._session, batch, names)

    def run_wide(self, batch: NDArray[np.generic]) -> NDArray[np.generic]:
        """The same on all cores, for when nothing else runs."""
        return self._run(self._wide or self._session, batch, (self.signature.output.name,))[0]

    def keep_narrow(self) -> None:
        """Give the way to run on all cores up: the model is too small to gain from it."""
        self._wide = None

    def _run(self, session: Any, batch: NDArray[np.generic], names: Sequence[str]) -> list[NDArray[np.generic]]:
        fixed = self.signature.batch
        if fixed is None or fixed == len(batch):
            return self._run_once(session, batch, names)
        parts = [batch[start : start + fixed] for start in range(0, len(batch), fixed)]
        missing = fixed - len(parts[-1])
        if missing:
            filling = np.zeros((missing, *batch.shape[1:]), batch.dtype)
            parts[-1] = np.concatenate([parts[-1], filling])
        runs = [self._run_once(session, part, names) for part in parts]
        if len(runs) == 1:
            return [output[: len(batch)] for output in runs[0]]
        return [np.concatenate(output)[: len(batch)] for output in zip(*runs, strict=True)]

    def _run_once(self, session: Any, batch: NDArray[np.generic], names: Sequence[str]) -> list[NDArray[np.generic]]:
        spec = self.signature.input
        batch = np.ascontiguousarray(batch, DTYPES[spec.datatype])
        try:
            outputs = session.run(list(names), {spec.name: batch})
        except Exception as error:
            if is_memory(error):
                raise MemoryError(str(error)) from None
            raise
        for name, output in zip(names, outputs, strict=True):
            if output.shape[:1] != (len(batch),):
                raise ValueError(f"output {name!r} is {list(output.shape)} for {len(batch)} item(s)")
        return cast("list[NDArray[np.generic]]", outputs)


def open_sessions(path: Path, device: str, threads: int) -> list[Session]:
    """Load the model at `path`. `device` is Auto, CPU, CUDA or TensorRT; `threads` are for a run on all cores.

    One session; on a processor, in an image that has OpenVINO too, a second one for it: which is faster, the warm-up finds.
    Raises ModelFailure: ContractMismatch (no ONNX, or no segmentation model), ProviderFallback (the device asked for is
    not there), OutOfMemory.
    """
    providers = _choose(device)
    _share_memory()
    sessions = [_session(path, device, providers, threads)]
    if providers == (_CPU,) and _OPENVINO in onnxruntime.get_available_providers():
        try:
            sessions.append(_session(path, device, (_OPENVINO, _CPU), threads))
        except ModelFailure as failure:
            _LOG.warning("OpenVINO does not take the model: %s", failure.message)
    return sessions


def _session(path: Path, device: str, providers: tuple[str, ...], threads: int) -> Session:
    with ThreadPoolExecutor(1) as beside:
        on_cpu = providers[0] in {_CPU, _OPENVINO}
        second = beside.submit(_open, path, providers, threads) if on_cpu and threads > 1 else None
        session = _open(path, providers, 1, streams=threads)
        wide = second.result() if second else None
    used = session.get_providers()[0]
    if device not in {"Auto", "CPU"} and used != providers[0]:
        raise _fallback(
            device, f"ONNX Runtime chose {used}: look for the driver and the CUDA libraries in the pod's node"
        )
    if device == "Auto" and used != providers[0]:
        _LOG.warning("the container has a card and it is not used: look for the driver", extra={"provider": used})
    inputs = [_spec(value) for value in session.get_inputs()]
    outputs = [_spec(value) for value in session.get_outputs()]
    properties = dict(session.get_modelmeta().custom_metadata_map)
    return Session(session, wide, read_signature(inputs, outputs, properties), properties)


def _open(path: Path, providers: tuple[str, ...], threads: int, *, streams: int = 1) -> Any:
    """One session of ONNX Runtime, with `threads` for a run, of which OpenVINO does `streams` at once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait must not burn the processor that decodes the next image. A run on all cores is alone: its threads
    # may spin from one operator to the next, and stop when it ends.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern wants one block for all tensors of a run, beside those that the arena has already.
    options.enable_mem_pattern = providers != (_CPU,)
    try:
        return onnxruntime.InferenceSession(
            str(path),
            options,
            providers=list(providers),
            provider_options=[_options(p, threads, streams) for p in providers],
        )
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean the same
        raise _load_failure(error, path) from None


def _options(provider: str, threads: int, streams: int) -> dict[str, str]:
    """What a provider has to be told."""
    if provider != _OPENVINO:
        return {}
    return {
        "device_type": "CPU",
        "num_of_threads": str(threads * streams),
        "num_streams": str(streams),
        "precision": "FP32",  # what the file says; without it processors with AMX compute in bf16, which nobody has checked
    }


@cache
def _share_memory() -> None:
    """One arena for all sessions of the process: they seldom run at the same time, and each would keep its own peak."""
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    exactly = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})  # grow by what is asked for, not by powers of two
    onnxruntime.create_and_register_allocator(memory, exactly)


def _choose(device: str) -> tuple[str, ...]:
    available = set(onnxruntime.get_available_providers())
    if device == "Auto":
        device = "CUDA" if _CUDA in available and _card() else "CPU"
    if _CUDA in available and device != "CPU":
        onnxruntime.preload_dlls()  # the CUDA libraries come from their wheels
    wanted = _PROVIDERS[device]
    if wanted[0] not in available:
        raise _fallback(device, f"this image's ONNX Runtime has only {', '.join(sorted(available))}: use the GPU image")
    return wanted


def _card() -> bool:
    """Whether the container has been given an NVIDIA card (the device plugin mounts it)."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _fallback(device: str, why: str) -> ModelFailure:
    return ModelFailure(
        "ProviderFallback", f"{device} was asked for and is not used; {why}, or ask for device Auto or CPU"
    )


def _load_failure(error: Exception, path: Path) -> ModelFailure:
    if is_memory(error):
        return ModelFailure(
            "OutOfMemory", f"{path} does not fit into the container's memory: raise resources.limits.memory"
        )
    if type(error).__name__ == "NoSuchFile" and not path.exists():
        return ModelFailure("ModelNotFound", f"there is no model at {path}: the init container puts it there")
    line = str(error).strip().partition("\n")[0].removeprefix("[ONNXRuntimeError] : ")[:400]
    return ModelFailure(
        "ContractMismatch", f"{path} is not ONNX, truncated, or nothing that ONNX Runtime {VERSION} can load: {line}"
    )


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return TensorSpec(value.name, DATATYPES.get(value.type, value.type), shape)
