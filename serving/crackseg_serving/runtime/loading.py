"""From a file to a warm model: opened, its digest compared, run at the sizes that will be served.

Called by the command before the engine is there, in a thread: it needs next to no interpreter, and goes on beside the imports
of HTTP and gRPC. Imports nothing itself, for two threads that import wait for each other, but what only cards or PRECISION=Auto need.
"""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime.multiple import find_multiple
from crackseg_serving.runtime.providers import BF16, CPU, choose, has_bfloat16, has_openvino, read_cpuinfo
from crackseg_serving.runtime.session import Graph, Session, open_sessions
from crackseg_serving.runtime.signature import run_size, tile_shape, whole_size
from crackseg_serving.runtime.variants import Brought, take_apart
from crackseg_serving.runtime.warmup import Warmth, fastest, warm_up
from crackseg_serving.settings import Settings
from crackseg_serving.values import value

if TYPE_CHECKING:
    from crackseg_serving.runtime.choice import View

_LOG = logging.getLogger("crackseg.runtime")


@value
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
        brought = take_apart(settings.model_path, decoded=settings.precision == "Auto")
        session, warmth = _warmed(settings, brought, digest)
    return Loaded(
        session=session,
        digest=digest.result(),
        tile=tile_shape(session.signature, _size(settings, session)),
        whole=whole_size(session.signature, settings.input_size) is not None,
        warmth=warmth,
        seconds=time.monotonic() - began,
    )


def _warmed(settings: Settings, brought: Brought, digest: Future[str]) -> tuple[Session, Warmth]:
    graph = Graph(settings.model_path, brought.model)
    provider = choose(settings.device)
    if provider != CPU:
        try:
            session, warmth = _on_cards(settings, graph, provider, digest.result())
            return _chosen_on_cards(settings, provider, session, brought) or (session, warmth)
        except ModelFailure as failure:
            if failure.reason != "ProviderFallback" or settings.device != "Auto":
                raise
            _LOG.warning("the container has a card and it is not used: look for the driver (%s)", failure.message)
    sessions = open_sessions(graph, settings.processors)
    digest.result()  # nothing is run that is not what was asked for
    size = _size(settings, sessions[0])
    own = find_multiple(fastest(sessions, size), size)
    session = find_multiple(_chosen(settings, graph, own, brought), size)
    return session, warm_up(session, size, settings.batch_size)


def _chosen(settings: Settings, graph: Graph, own: Session, brought: Brought) -> Session:
    """What a processor computes: the file itself, or, where the settings let it, its INT8 variant, or the file in bfloat16."""
    if settings.precision != "Auto":
        return own
    from crackseg_serving.runtime.choice import Candidate, choose_precision  # not where nobody asks: a start is short

    graphs = [_variant(settings, "INT8", own, brought)] if "INT8" in brought.variants else []
    if has_openvino() and has_bfloat16(read_cpuinfo()):
        graphs.append(replace(graph, precision=BF16))
    others = [Candidate(one.precision, partial(open_sessions, one, settings.processors)) for one in graphs]
    return choose_precision(own, others, brought.photographs, _view(settings, own))


def _chosen_on_cards(
    settings: Settings, provider: str, own: Session, brought: Brought
) -> tuple[Session, Warmth] | None:
    """The FP16 variant, warm, where the settings let it be chosen and it is; None for the file itself."""
    if settings.precision != "Auto":
        return None
    from crackseg_serving.runtime.choice import Candidate, choose_precision

    others = []
    if variant := brought.variants.get("FP16"):
        graph, digest = _variant(settings, "FP16", own, brought), hashlib.sha256(variant).hexdigest()
        others.append(Candidate("FP16", lambda: [_on_cards(settings, graph, provider, digest)[0]]))
    session = choose_precision(own, others, brought.photographs, _view(settings, own))
    return None if session is own else (session, warm_up(session, _size(settings, session), settings.batch_size))


def _variant(settings: Settings, precision: str, own: Session, brought: Brought) -> Graph:
    return Graph(settings.model_path, brought.variants[precision], precision, own.properties)


def _view(settings: Settings, session: Session) -> View:
    from crackseg_serving.runtime.choice import View

    threshold = settings.threshold_percent or session.signature.metadata.threshold_percent
    whole = whole_size(session.signature, settings.input_size) is not None
    return View(_size(settings, session), whole, settings.tile_overlap, threshold)


def _on_cards(settings: Settings, graph: Graph, provider: str, digest: str) -> tuple[Session, Warmth]:
    """With recorded runs, and where the model does not allow that, without."""
    try:
        return _warmed_on_cards(settings, graph, provider, digest, record=True)
    except ModelFailure as failure:
        if failure.reason != "ContractMismatch":
            raise
        found = _warmed_on_cards(settings, graph, provider, digest, record=False)  # says again what else is wrong
        _LOG.warning("runs are not recorded: %s", failure.message, extra={"provider": found[0].provider})
        return found


def _warmed_on_cards(
    settings: Settings, graph: Graph, provider: str, digest: str, *, record: bool
) -> tuple[Session, Warmth]:
    from crackseg_serving.runtime.card import open_on_cards  # not where there is none: a start is short

    session = open_on_cards(settings, graph, provider, digest, record=record)
    try:
        return session, warm_up(session, _size(settings, session), settings.batch_size)
    except ModelFailure:
        session.close()
        raise


def _size(settings: Settings, session: Session) -> int | tuple[int, int]:
    return run_size(session.signature, settings.input_size, settings.tile_size)


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
