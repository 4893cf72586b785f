"""From a file to a warm model: opened, its digest compared, run at the sizes that will be served.

Called by the command before the engine is there, in a thread: it needs next to no interpreter, and goes on beside the imports
of HTTP and gRPC. Imports nothing itself, for two threads that import wait for each other.
"""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime.providers import CPU, choose
from crackseg_serving.runtime.session import Session, open_sessions
from crackseg_serving.runtime.signature import tile_shape, whole_size
from crackseg_serving.runtime.warmup import Warmth, fastest, warm_up
from crackseg_serving.settings import Settings

_LOG = logging.getLogger("crackseg.runtime")


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
        digest = beside.submit(_checked_digest, settings)
        session, warmth = _warmed(settings, digest)
    whole = whole_size(session.signature, settings.input_size)
    return Loaded(
        session=session,
        digest=digest.result(),
        tile=tile_shape(session.signature, whole or settings.tile_size),
        whole=whole is not None,
        warmth=warmth,
        seconds=time.monotonic() - began,
    )


def _warmed(settings: Settings, digest: Future[str]) -> tuple[Session, Warmth]:
    provider = choose(settings.device)
    if provider != CPU:
        try:
            return _on_cards(settings, provider, digest.result())
        except ModelFailure as failure:
            if failure.reason != "ProviderFallback" or settings.device != "Auto":
                raise
            _LOG.warning("the container has a card and it is not used: look for the driver (%s)", failure.message)
    sessions = open_sessions(settings.model_path, settings.processors)
    digest.result()  # nothing is run that is not what was asked for
    size = _size(settings, sessions[0])
    session = fastest(sessions, size)
    return session, warm_up(session, size, settings.batch_size)


def _on_cards(settings: Settings, provider: str, digest: str) -> tuple[Session, Warmth]:
    """With recorded runs, and where the model does not allow that, without."""
    try:
        return _warmed_on_cards(settings, provider, digest, record=True)
    except ModelFailure as failure:
        if failure.reason != "ContractMismatch":
            raise
        found = _warmed_on_cards(settings, provider, digest, record=False)  # says again what else is wrong
        _LOG.warning("runs are not recorded: %s", failure.message, extra={"provider": found[0].provider})
        return found


def _warmed_on_cards(settings: Settings, provider: str, digest: str, *, record: bool) -> tuple[Session, Warmth]:
    from crackseg_serving.runtime.card import open_on_cards  # not where there is none: a start is short

    session = open_on_cards(settings, provider, digest, record=record)
    try:
        return session, warm_up(session, _size(settings, session), settings.batch_size)
    except ModelFailure:
        session.close()
        raise


def _size(settings: Settings, session: Session) -> int | tuple[int, int]:
    return whole_size(session.signature, settings.input_size) or settings.tile_size


def _checked_digest(settings: Settings) -> str:
    digest = _digest(settings.model_path)
    if settings.model_sha256 and digest != f"sha256:{settings.model_sha256}":
        raise ModelFailure(
            "DigestMismatch", f"{settings.model_path} is {digest}, but MODEL_SHA256 says {settings.model_sha256}"
        )
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
