"""How well a mask agrees with the truth: IoU and F1, strict and with a tolerance. Arrays in, numbers out."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

TOLERANCE = 2  # pixels: nearer than this to the truth (or to the answer) counts as a hit


@dataclass(frozen=True)
class Counts:
    """Pixels of one picture, or of many added up."""

    hits: int = 0
    false: int = 0
    missed: int = 0
    near_hits: int = 0  # answer's pixels within the tolerance of the truth
    near_found: int = 0  # truth's pixels within the tolerance of the answer

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.false + other.false,
            self.missed + other.missed,
            self.near_hits + other.near_hits,
            self.near_found + other.near_found,
        )

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where there is neither truth nor answer."""
        return ratio(self.hits, self.hits + self.false + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.hits, 2 * self.hits + self.false + self.missed)

    @property
    def near_f1(self) -> float:
        """F1 with the tolerance: a border drawn a little wider or narrower does not count as wrong."""
        if self.hits + self.false + self.missed == 0:
            return 1.0
        precision = self.near_hits / max(self.hits + self.false, 1)
        recall = self.near_found / max(self.hits + self.missed, 1)
        return 2 * precision * recall / max(precision + recall, 1e-9)


def ratio(part: int, whole: int) -> float:
    """A share; nothing of nothing is whole."""
    return part / whole if whole else 1.0


def count(answer: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Compare two masks [H, W]."""
    side = 2 * TOLERANCE + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near_truth = cv2.dilate(truth.astype(np.uint8), disc) > 0
    near_answer = cv2.dilate(answer.astype(np.uint8), disc) > 0
    return Counts(
        int((answer & truth).sum()),
        int((answer & ~truth).sum()),
        int((truth & ~answer).sum()),
        int((answer & near_truth).sum()),
        int((truth & near_answer).sum()),
    )


@dataclass(frozen=True)
class Score:
    """The figures of one set of pictures: of all pixels together, and the mean over the pictures."""

    pictures: int
    iou: float
    f1: float
    near_f1: float
    mean_iou: float
    mean_f1: float

    def rounded(self) -> dict[str, float]:
        """For metadata and tables."""
        return {
            "pictures": self.pictures,
            "iou": round(self.iou, 3),
            "f1": round(self.f1, 3),
            "f1_2px": round(self.near_f1, 3),
            "mean_iou": round(self.mean_iou, 3),
            "mean_f1": round(self.mean_f1, 3),
        }


def score(counts: Iterable[Counts]) -> Score:
    """Sum up pictures; ValueError for none."""
    each = list(counts)
    if not each:
        raise ValueError("there is no picture to score")
    whole = sum(each, Counts())
    mean_iou, mean_f1 = float(np.mean([c.iou for c in each])), float(np.mean([c.f1 for c in each]))
    return Score(len(each), whole.iou, whole.f1, whole.near_f1, mean_iou, mean_f1)
