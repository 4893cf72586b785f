"""PRECISION=Auto: what this machine computes the model in, of the file itself and of other precisions of it.

Each candidate is asked about the photographs that the file brings, as requests are answered, and timed at the size that will
be served. Called by the loading, before the warm-up. Knows sessions and pictures; may not know queues or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crackseg_serving import imaging
from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.runtime.session import Session
from crackseg_serving.runtime.settling import settle
from crackseg_serving.runtime.signature import tile_shape
from crackseg_serving.runtime.unloadable import sentence
from crackseg_serving.runtime.variants import PHOTOGRAPHS
from crackseg_serving.runtime.warmup import costs_of, run_probe
from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")

_LIMITS: Final = imaging.DecodeLimits(max_pixels=1 << 20)
_LEAST_GAIN: Final = 1.1  # times as fast as the file itself: for less, nobody wants other masks
_LONG: Final = 1.0  # seconds of a run: a dozen for each candidate would hold the start up for long

Picture = NDArray[np.uint8]
Mask = NDArray[np.uint8]


@value
class View:
    """How the server shows a picture to the model, and from which probability on it sees a crack."""

    size: int | tuple[int, int]
    whole: bool  # the picture is scaled to that size, and not cut into tiles
    overlap: int
    threshold_percent: int


@value
class Candidate:
    """Another way to compute the model; opening it gives a session for each provider that takes it."""

    precision: str
    open: Callable[[], list[Session]]


@dataclass(slots=True)
class _Trial:
    """What is known of one way to compute the model."""

    precision: str
    provider: str = ""
    seconds: float | None = None  # of a run
    gain: float | None = None  # how many times as fast as the file itself, timed in turn with it
    agreement: float | None = None
    verdict: str = ""

    @property
    def told(self) -> dict[str, object]:
        """In the words of the log, without what has not been found out."""
        words = {
            "precision": self.precision,
            "provider": self.provider,
            "agreement": self.agreement and round(self.agreement, 4),
            "milliseconds": self.seconds and round(1000 * self.seconds, 1),
            "timesAsFast": self.gain and round(self.gain, 2),
            "verdict": self.verdict,
        }
        return {word: value for word, value in words.items() if value not in {None, ""}}


class _Contest:
    """The file itself, what has been tried beside it, and the best so far."""

    def __init__(self, own: Session, seconds: float, pictures: Sequence[Picture], view: View) -> None:
        self._own, self._pictures, self._view = own, pictures, view
        self._expected = [find(own, picture, view) for picture in pictures]
        self.best, self._leader = own, _Trial(own.precision, own.provider, seconds, gain=1.0, agreement=1.0)
        self.trials = [self._leader]

    @property
    def proves(self) -> bool:
        """Whether there is a crack to go by."""
        return any(mask.any() for mask in self._expected)

    def admit(self, candidate: Candidate) -> None:
        """Try all sessions of a candidate; none that loses is kept."""
        try:
            sessions = candidate.open()
        except ModelFailure as failure:
            self.trials.append(_Trial(candidate.precision, verdict=f"left out: {failure.message}"))
            return
        while sessions:
            session = sessions.pop(0)
            if not self._leads(session):
                session.close()
                continue
            if self.best is not self._own:  # the others are timed beside that one
                self.best.close()
            self.best = session

    def _leads(self, session: Session) -> bool:
        """Whether a session is the best so far, which the log will say."""
        trial = _Trial(session.precision, session.provider)
        self.trials.append(trial)
        try:
            trial.agreement = self._agreement(session)
            seconds, trial.seconds = costs_of([self._own, session], tile_shape(session.signature, self._view.size))
        except ModelFailure as failure:
            trial.verdict = f"left out: {failure.message}"
            return False
        trial.gain = gain = seconds / max(trial.seconds, 1e-9)
        self.trials[0].seconds = min(seconds, self.trials[0].seconds or seconds)
        if trial.agreement < imaging.LEAST_AGREEMENT:
            trial.verdict = f"left out: less than {imaging.LEAST_AGREEMENT} of the masks agree"
        elif gain < _LEAST_GAIN:
            trial.verdict = f"less than {_LEAST_GAIN} times as fast as the file itself"
        elif gain <= (self._leader.gain or 0):
            trial.verdict = "another one is faster"
        else:
            self._leader.verdict, self._leader = "another one is faster", trial
        return self._leader is trial

    def _agreement(self, session: Session) -> float:
        own = self._own
        if (session.signature.input, session.signature.outputs) != (own.signature.input, own.signature.outputs):
            raise ModelFailure("ContractMismatch", "its inputs and outputs are not those of the file")
        session.signature, session.properties = own.signature, own.properties
        compared = imaging.Overlap()
        for picture, expected in zip(self._pictures, self._expected, strict=True):
            compared += imaging.overlap(find(session, picture, self._view), expected)
        return compared.agreement

    def end(self) -> Session:
        """The winner, and a line in the log about all."""
        self._leader.verdict = "chosen"
        if self.best is not self._own:
            self._own.close()
        _LOG.info(
            "the model is computed in %s, of %d that were tried",
            self.best.precision,
            len(self.trials),
            extra={"candidates": [trial.told for trial in self.trials]},
        )
        return self.best


def choose_precision(own: Session, others: Sequence[Candidate], photographs: Sequence[bytes], view: View) -> Session:
    """The cheapest session of those whose masks of the photographs agree with those of `own`, the file itself.

    Another one than `own` must be 1.1 times as fast. What fails on this machine is left out, and the log says why. Raises
    ModelFailure: ContractMismatch where a photograph is none, and what the file itself fails with.
    """
    pictures = _decoded(photographs)
    if not pictures:
        return _stay(own, f"the file brings no photographs to check others by ({PHOTOGRAPHS})")
    tile = tile_shape(own.signature, view.size)
    settled = settle(own.signature, run_probe(own, tile, 1), tile)
    # What the graph has applied is known now: another one that rounds a little beyond 0..1 is read like it.
    activation = settled.output_format.activation
    own.signature = replace(settled, metadata=replace(settled.metadata, activation=activation))
    (seconds,) = costs_of([own], tile, tries=1)
    if seconds > _LONG:
        return _stay(own, f"a run takes {seconds:.1f} s, and trying others would hold the start up")
    contest = _Contest(own, seconds, pictures, view)
    if not contest.proves:
        return _stay(own, "the model finds no crack in the photographs that the file brings, so they prove nothing")
    for candidate in others:
        contest.admit(candidate)
    return contest.end()


def _stay(own: Session, why: str) -> Session:
    _LOG.warning("the model is computed as its file says: %s", why, extra={"precision": own.precision})
    return own


def find(session: Session, pixels: Picture, view: View) -> Mask:
    """The mask of a picture [H, W, 3], as a request for it is answered. Raises ModelFailure where the model cannot be run."""
    form, shape = session.signature, pixels.shape[:2]
    tile = tile_shape(form, view.size)

    def run(part: Picture) -> NDArray[np.float32]:
        output = _run(session, imaging.to_tensor([part], form.input_format))
        probabilities: NDArray[np.float32] = imaging.to_probabilities(output, form.output_format, part.shape[:2])[0]
        return probabilities

    if view.whole:
        found = imaging.to_map(run(imaging.scale_picture(pixels, tile)))
        return imaging.scaled_mask(found, view.threshold_percent, shape)
    overlap = min(view.overlap, min(tile) // 2)
    plan = imaging.plan_tiles(*shape, size=tile, overlap=overlap, multiple=form.multiple)
    stitcher = imaging.Stitcher(plan)
    for place in plan.tiles:
        stitcher.add(run(plan.cut(pixels, place)))
    return imaging.threshold(stitcher.finish(), view.threshold_percent)


def _run(session: Session, batch: NDArray[np.float32]) -> NDArray[Any]:
    try:
        return session.run(batch)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean the same
        reason = "OutOfMemory" if is_memory(error) else "ContractMismatch"
        raise ModelFailure(
            reason, f"the model cannot be run on the photographs that its file brings: {sentence(error)}"
        ) from None


def _decoded(photographs: Sequence[bytes]) -> list[Picture]:
    found = []
    for number, data in enumerate(photographs, 1):
        try:
            found.append(imaging.decode(data, _LIMITS).pixels)
        except imaging.ImageError as error:
            raise ModelFailure(
                "ContractMismatch", f"the model's metadata: {PHOTOGRAPHS}: photograph {number} is none: {error}"
            ) from None
    return found
