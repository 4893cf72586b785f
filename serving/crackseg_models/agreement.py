"""Whether two model files mark the same cracks: both asked through the server's own engine, picture by picture.

Called by the `quantize` command, which also takes from here what the server gives a model for a picture. No HTTP, no torch.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from crackseg_models.metrics import Counts, count
from crackseg_serving import contract, imaging
from crackseg_serving.admission import Ticket
from crackseg_serving.answers import Output
from crackseg_serving.batching import Array
from crackseg_serving.engine import Engine
from crackseg_serving.failures import ModelFailure, Refused
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime.loading import load
from crackseg_serving.segmentation import segment
from crackseg_serving.settings import from_environment

PATIENCE = 600.0  # seconds for one picture


@dataclass(frozen=True)
class Picture:
    """A picture's file, and the file of its mask where there is one."""

    image: Path
    mask: Path | None = None

    def truth(self) -> NDArray[np.bool_] | None:
        """The mask [H, W]; ValueError where it is no picture."""
        if self.mask is None:
            return None
        found = cv2.imread(str(self.mask), cv2.IMREAD_GRAYSCALE)
        if found is None:
            raise ValueError(f"{self.mask} is not a picture that OpenCV can read")
        return np.asarray(found > 127)


class Served(Engine):
    """A model file, loaded and asked as the server does it; ValueError says why it cannot be."""

    def __init__(self, path: Path) -> None:
        settings = from_environment({contract.MODEL_PATH: str(path), contract.INFERENCE_DEVICE: "CPU"})
        super().__init__(settings, Metrics())
        self._seen: list[Array] = []
        try:
            self.use(load(settings))
        except ModelFailure as failure:
            raise ValueError(failure.message) from None

    @override
    def submit(self, items: Array, ticket: Ticket | None = None, *, more: bool = False) -> Any:
        """What goes into the model, on its way."""
        self._seen.append(items)
        return super().submit(items, ticket, more=more)

    def mask(self, picture: Picture) -> NDArray[np.bool_]:
        """Where the server says that `picture` has cracks [H, W]; ValueError names a picture that it refuses."""
        self._seen.clear()
        ticket = Ticket(time.monotonic() + PATIENCE)
        try:
            answer = segment(self, picture.image.read_bytes(), Output.MASK, None, ticket)
        except Refused as refused:
            raise ValueError(f"{picture.image}: {refused}") from None
        found = cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(np.asarray(found) > 0)

    def tensors(self, picture: Picture) -> list[Array]:
        """What the model is given for `picture`, run by run."""
        from crackseg_serving.runtime.signature import DTYPES

        self.mask(picture)
        spec = self.model.signature.input
        batch = self.model.signature.batch
        runs = [np.ascontiguousarray(items, DTYPES[spec.datatype]) for items in self._seen]
        return runs if batch is None else [np.resize(items, (batch, *items.shape[1:])) for items in runs]


@dataclass(frozen=True)
class Agreement:
    """How near one model is to another on a set of pictures; all pixels together."""

    pictures: int
    agreement: float  # intersection over union of the two masks
    iou: tuple[float, float] | None  # with the truth: of the model, and of the other one; None where no truth is known

    def rounded(self) -> dict[str, Any]:
        """For metadata and tables."""
        found: dict[str, Any] = {"pictures": self.pictures, "agreement": round(self.agreement, 4)}
        if self.iou is not None:
            found |= {"iou": round(self.iou[1], 4), "source_iou": round(self.iou[0], 4)}
        return found


def compare(model: Served, other: Served, pictures: Sequence[Picture]) -> Agreement:
    """`other` beside `model` on `pictures`; ValueError where there is nothing to compare."""
    between, first, second = imaging.Overlap(), Counts(), Counts()
    known = 0
    for picture in pictures:
        expected, found, truth = model.mask(picture), other.mask(picture), picture.truth()
        between += imaging.overlap(found, expected)
        if truth is not None:
            first, second, known = first + count(expected, truth), second + count(found, truth), known + 1
    if between.expected == 0:
        raise ValueError(
            f"the model finds no crack in any of the {len(pictures)} pictures: compare on some that have cracks"
        )
    return Agreement(len(pictures), between.agreement, (first.iou, second.iou) if known else None)
