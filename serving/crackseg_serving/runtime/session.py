"""A model that can be run: arrays in, arrays out. Opened here for a processor, and by `card` for a card.

Thread-safe: `run` may be called from many threads at once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.onnxfile import HEAD
from crackseg_serving.runtime.lanes import Lanes
from crackseg_serving.runtime.providers import BF16, CPU, OPENVINO, has_openvino, openvino_options
from crackseg_serving.runtime.signature import DATATYPES, DTYPES, Signature, TensorSpec, read_signature
from crackseg_serving.runtime.unloadable import why
from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")

VERSION: Final[str] = onnxruntime.__version__

_SPIN_MICROSECONDS: Final = "200"  # from one operator to the next; longer only where others need the core


@value
class Graph:
    """What is to be opened, and how it is to be computed."""

    path: Path  # the file, as failures call it
    content: bytes | None = None  # what is opened in its place
    precision: str = ""  # INT8, FP16: it is made so; BF16: it is to be computed so; empty: as its metadata say
    properties: Mapping[str, str] = field(default_factory=dict)  # metadata that hold in place of its own


class Session:
    """A loaded model. `signature` is as the graph declares it until the warm-up has settled it.

    On a processor it has two ways to run: on one core, for many runs at once, and on all, for one that is alone. On a card it is as many
    sessions as may run at once.
    """

    def __init__(self, session: Any, wide: Any | None, graph: Graph) -> None:
        self._session = session
        self._wide = wide
        own = session.session if isinstance(session, Lanes) else session
        self.signature, self.properties = declared(own, graph)  # the properties: the model's metadata, as written
        self.precision = graph.precision or self.signature.metadata.precision
        self.provider: str = session.get_providers()[0]

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the processor."""
        return self.provider in {CPU, OPENVINO}

    @property
    def in_caller(self) -> bool:
        """Whether a run on one core is computed by the thread that asks for it, so that its clock says what it costs."""
        return self.provider == CPU

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

    def attempt(self, batch: NDArray[np.generic]) -> NDArray[np.generic] | None:
        """The same on a processor, of a batch that the model may not take: None where it does not, and no word in the log."""
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = 4
        try:
            return self._run(self._session, batch, (self.signature.output.name,), quiet)[0]
        except Exception:  # noqa: BLE001 - the library raises many kinds, and all mean the same
            return None

    @property
    def lanes(self) -> int:
        """How many runs a card takes at once; 0 on a processor, where cores are what counts."""
        return len(self._session) if isinstance(self._session, Lanes) else 0

    @property
    def failed(self) -> str:
        """What a card said that does not compute any more; empty while all is well."""
        return self._session.failed if isinstance(self._session, Lanes) else ""

    def prepare(self, batch: NDArray[np.generic]) -> None:
        """Have a card ready for runs of this shape; nothing on a processor. Raises what the session raises."""
        if isinstance(self._session, Lanes):
            self._session.prepare(self.signature.output.name, self.signature.input.name, self._fed(batch))

    def forget(self, most: int) -> None:
        """Give back what was prepared for runs of more than `most`."""
        if isinstance(self._session, Lanes):
            self._session.forget(most)

    def close(self) -> None:
        """End a card's threads; memory goes with the last who knows the session."""
        if isinstance(self._session, Lanes):
            self._session.close()

    def keep_narrow(self) -> None:
        """Give the way to run on all cores up: the model is too small to gain from it."""
        self._wide = None

    def _run(
        self, session: Any, batch: NDArray[np.generic], names: Sequence[str], *told: Any
    ) -> list[NDArray[np.generic]]:
        fixed = self.signature.batch
        if fixed is None or fixed == len(batch):
            return self._run_once(session, batch, names, *told)
        parts = [batch[start : start + fixed] for start in range(0, len(batch), fixed)]
        missing = fixed - len(parts[-1])
        if missing:
            filling = np.zeros((missing, *batch.shape[1:]), batch.dtype)
            parts[-1] = np.concatenate([parts[-1], filling])
        runs = [self._run_once(session, part, names, *told) for part in parts]
        if len(runs) == 1:
            return [output[: len(batch)] for output in runs[0]]
        return [np.concatenate(output)[: len(batch)] for output in zip(*runs, strict=True)]

    def _run_once(
        self, session: Any, batch: NDArray[np.generic], names: Sequence[str], *told: Any
    ) -> list[NDArray[np.generic]]:
        batch = self._fed(batch)
        try:
            outputs = session.run(list(names), {self.signature.input.name: batch}, *told)
        except Exception as error:
            if is_memory(error):
                raise MemoryError(str(error)) from None
            raise
        for name, output in zip(names, outputs, strict=True):
            if output.shape[:1] != (len(batch),):
                raise ValueError(f"output {name!r} is {list(output.shape)} for {len(batch)} item(s)")
        return cast("list[NDArray[np.generic]]", outputs)

    def _fed(self, batch: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(batch, DTYPES[self.signature.input.datatype])


def open_sessions(graph: Graph, threads: int) -> list[Session]:
    """Load a model for a processor, where a run on all cores has `threads`.

    One session, and in an image that has OpenVINO too, a second one for it: which is faster, the warm-up finds. BF16 has that one
    alone, for ONNX Runtime's own kernels do not compute so.
    Raises ModelFailure: ContractMismatch (no ONNX, or no segmentation model), OutOfMemory.
    """
    _share_memory()
    if graph.precision == BF16:
        return [_in_bfloat16(graph, threads)]
    sessions = [_session(graph, (CPU,), threads)]
    if has_openvino():
        try:
            sessions.append(_session(graph, (OPENVINO, CPU), threads))
        except ModelFailure as failure:
            _LOG.warning("OpenVINO does not take the model: %s", failure.message)
    return sessions


def _in_bfloat16(graph: Graph, threads: int) -> Session:
    session = _session(graph, (OPENVINO, CPU), threads)
    if session.provider != OPENVINO:
        raise ModelFailure("ContractMismatch", "OpenVINO does not take the model")
    return session


def _session(graph: Graph, providers: tuple[str, ...], threads: int) -> Session:
    with ThreadPoolExecutor(1) as beside:
        second = beside.submit(_open, graph, providers, threads) if threads > 1 else None
        session = _open(graph, providers, 1, streams=threads)
        wide = second.result() if second else None
    return Session(session, wide, graph)


def declared(session: Any, graph: Graph) -> tuple[Signature, dict[str, str]]:
    """What the graph of a session of ONNX Runtime says of itself, and the model's metadata. Raises ModelFailure (ContractMismatch)."""
    inputs = [_spec(value) for value in session.get_inputs()]
    outputs = [_spec(value) for value in session.get_outputs()]
    properties = dict(graph.properties or session.get_modelmeta().custom_metadata_map)
    return read_signature(inputs, outputs, properties), properties


def _open(graph: Graph, providers: tuple[str, ...], threads: int, *, streams: int = 1) -> Any:
    """One session of ONNX Runtime, with `threads` for a run, of which OpenVINO does `streams` at once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait must not burn the processor that decodes the next image. A run on all cores is alone: its threads
    # may spin from one operator to the next, and stop when it ends.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A pattern wants one block for all tensors of a run, beside those that the arena has already.
    options.enable_mem_pattern = providers != (CPU,)
    told = {OPENVINO: openvino_options(threads, streams, bfloat16=graph.precision == BF16)}
    try:
        return load_session(graph, options, [(provider, told.get(provider, {})) for provider in providers])
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean the same
        raise _load_failure(error, graph.path) from None


def load_session(graph: Graph, options: Any, providers: Sequence[tuple[str, Mapping[str, str]]]) -> Any:
    """A session of ONNX Runtime for these providers and what each is told. Raises what the library raises, of many kinds.

    Without the library's own fallback: it would go on with the processor, at the start or in the middle of service, unseen.
    """
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(graph.path) if graph.content is None else graph.content
    session = onnxruntime.InferenceSession(source, options, providers=list(providers), enable_fallback=0)
    session._model_bytes = None  # noqa: SLF001 - kept for the fallback alone, as long as the session
    return session


def peek(graph: Graph) -> tuple[Signature, dict[str, str]]:
    """What the graph declares, before anything is made of it. Raises ModelFailure."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return declared(load_session(graph, options, [(CPU, {})]), graph)
    except ModelFailure:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _load_failure(error, graph.path) from None


@cache
def _share_memory() -> None:
    """One arena for all sessions of the process: they seldom run at the same time, and each would keep its own peak."""
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    exactly = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})  # grow by what is asked for, not by powers of two
    onnxruntime.create_and_register_allocator(memory, exactly)


def _load_failure(error: Exception, path: Path) -> ModelFailure:
    if is_memory(error):
        return ModelFailure(
            "OutOfMemory", f"{path} does not fit into the container's memory: raise resources.limits.memory"
        )
    if type(error).__name__ == "NoSuchFile" and not path.exists():
        return ModelFailure("ModelNotFound", f"there is no model at {path}: the init container puts it there")
    with path.open("rb") as file:
        reason = why(error, f"ONNX Runtime {VERSION}", file.read(HEAD))
    return ModelFailure("ContractMismatch", f"{path} is no model for this server: {reason}")


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return TensorSpec(value.name, DATATYPES.get(value.type, value.type), shape)
