"""Opens a model on NVIDIA cards: with CUDA's kernels, or as an engine that TensorRT builds for the shapes that will be served.

Called by `loading`. Every card of the container has its lanes. A run of a known shape is recorded once and then started as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import onnxruntime

from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.runtime.engines import with_engines
from crackseg_serving.runtime.lanes import Device, Lanes
from crackseg_serving.runtime.providers import (
    CPU,
    CUDA,
    TENSORRT,
    Profile,
    cards,
    cuda_options,
    fallback,
    tensorrt_options,
)
from crackseg_serving.runtime.session import VERSION, Graph, Session, load_session, peek
from crackseg_serving.runtime.signature import Signature, run_size, tile_shape
from crackseg_serving.runtime.unloadable import sentence
from crackseg_serving.settings import Settings

_KIND: Final = "cuda"  # ONNX Runtime's word for memory on a card
_LANES: Final = 2  # a card: one computes while the other's tensors travel
_MOST: Final = 16  # images in a run, where the warm-up is to find how many pay


def open_on_cards(settings: Settings, graph: Graph, provider: str, digest: str, *, record: bool) -> Session:
    """Load a model on all cards of the container, for `provider`, CUDA's or TensorRT's.

    With `record` runs can be recorded, which not every model allows. `digest` is the model's: engines are kept under it.
    Raises ModelFailure: ContractMismatch (no ONNX, no segmentation model, no recording), ProviderFallback (the card is not used), OutOfMemory.
    """
    try:
        if provider == TENSORRT:
            return _by_engines(settings, graph, digest, record=record)
        return _opened(
            settings, graph, {CUDA: partial(cuda_options, record=record), CPU: lambda _card: {}}, record=record
        )
    except ModelFailure as failure:
        if record or failure.reason != "ContractMismatch":
            raise
        peek(graph)  # says it where it is the model's own fault
        raise fallback(settings.device, failure.message) from None


def _by_engines(settings: Settings, graph: Graph, digest: str, *, record: bool) -> Session:
    signature, properties = peek(graph)
    tile = tile_shape(signature, run_size(signature, settings.input_size, settings.tile_size))
    profile = _profile(signature, tile, settings.batch_size)
    half = "FP16" in {graph.precision, properties.get("crackseg.precision"), signature.input.datatype}
    # TensorRT records one shape for a whole session: only where there is no other.
    record = record and profile.least == profile.most and not signature.others
    key = f"{digest.removeprefix('sha256:')[:16]}-{VERSION}-{profile.shape(profile.most).rpartition(':')[2]}"
    session = with_engines(
        settings.engine_cache,
        key,
        lambda engines, timings: _opened(
            settings,
            graph,
            {
                TENSORRT: lambda card: tensorrt_options(card, profile, engines, timings, half=half, record=record),
                CUDA: partial(cuda_options, record=False),
                CPU: lambda _card: {},
            },
            record=record,
        ),
    )
    # Another size would have its engine built in the middle of service: requests are told that there is only this one.
    spec = replace(session.signature.input, shape=(signature.batch, *profile.item))
    session.signature = replace(session.signature, input=spec, height=tile[0], width=tile[1])
    return session


def _profile(signature: Signature, tile: tuple[int, int], batch_size: int | None) -> Profile:
    channels = 1 if signature.input_format.channels == "GRAY" else 3
    item = (channels, *tile) if signature.input_format.layout == "NCHW" else (*tile, channels)
    return Profile(signature.input.name, item, signature.batch or 1, signature.batch or batch_size or _MOST)


def _opened(
    settings: Settings, graph: Graph, told: dict[str, Callable[[int], dict[str, str]]], *, record: bool
) -> Session:
    """A session of as many lanes as the cards have; `told` is for each provider, the one asked for first, what it is told for a card."""
    lanes = Lanes(
        [(Device(_KIND, card), partial(_load, graph, told, card)) for card in cards() or [0] for _ in range(_LANES)],
        record=record,
    )
    used = lanes.get_providers()[0]
    if used != next(iter(told)):
        lanes.close()
        raise fallback(
            settings.device, f"ONNX Runtime chose {used}: look for the driver and the CUDA libraries in the pod's node"
        )
    return Session(lanes, None, graph)


def _load(graph: Graph, told: dict[str, Callable[[int], dict[str, str]]], card: int) -> Any:
    providers = [(provider, options(card)) for provider, options in told.items()]
    try:
        return load_session(graph, onnxruntime.SessionOptions(), providers)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds
        if is_memory(error):
            raise ModelFailure(
                "OutOfMemory",
                f"{graph.path} does not fit into the memory of card {card}: use a larger one, or share it with fewer",
            ) from None
        raise ModelFailure("ContractMismatch", f"ONNX Runtime says: {sentence(error)}") from None
