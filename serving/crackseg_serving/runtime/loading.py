"""From a file to a warm model: opened, its digest compared, run at the sizes that will be served.

Called by the command before the engine is there, in a thread: it needs next to no interpreter, and goes on beside the imports
of HTTP and gRPC. Imports nothing itself, for two threads that import wait for each other.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime.session import Session, open_sessions
from crackseg_serving.runtime.signature import whole_size
from crackseg_serving.runtime.warmup import Warmth, fastest, tile_shape, warm_up
from crackseg_serving.settings import Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can be served."""

    session: Session
    digest: str  # "sha256:<64 hex>"
    tile: tuple[int, int]  # height, width of what a run takes
    whole: bool  # a picture is scaled to that size and run once, and not cut into tiles
    warmth: Warmth
    seconds: float  # that it took


def load(settings: Settings) -> Loaded:
    """Open, check and warm up the model. Blocks; raises ModelFailure."""
    began = time.monotonic()
    if not settings.model_path.is_file():
        raise ModelFailure(
            "ModelNotFound", f"there is no model at {settings.model_path}: the init container puts it there"
        )
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(_digest, settings.model_path)
        sessions = open_sessions(settings.model_path, settings.device, settings.processors)
    if settings.model_sha256 and digest.result() != f"sha256:{settings.model_sha256}":
        raise ModelFailure(
            "DigestMismatch",
            f"{settings.model_path} is {digest.result()}, but MODEL_SHA256 says {settings.model_sha256}",
        )
    whole = whole_size(sessions[0].signature, settings.input_size)
    size = whole or settings.tile_size
    session = fastest(sessions, size)
    warmth = warm_up(session, size, settings.batch_size)
    return Loaded(
        session=session,
        digest=digest.result(),
        tile=tile_shape(session.signature, size),
        whole=whole is not None,
        warmth=warmth,
        seconds=time.monotonic() - began,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
