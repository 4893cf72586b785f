"""How much of each pixel a crack covers, from the probabilities on both sides of its edge.

Called by `measure`. A mask knows whole pixels only; where a soft edge crosses the threshold tells more: a line 2.5
pixels wide then measures 2.5 and not 2 or 3.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from crackseg_serving.imaging.thinning import CHUNK, SQUARE, Indices, ring_steps, square_steps


def cover(
    frame: NDArray[np.uint8],
    labels: NDArray[np.int32],
    areas: NDArray[np.float64],
    outside: NDArray[np.uint8],
    probabilities: NDArray[np.uint8],
    threshold_percent: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], Indices]:
    """How much of each pixel of the frame is crack (255 is all), the area of each crack by its label, and the frame's border (`border_of`).

    A pixel at the edge counts 0.5 + (p - threshold) / (the range of p in its 3x3 neighbourhood), within 0..1: exact
    for drawn lines with smooth edges, and without bias for wider soft edges, whatever the threshold. Pixels that are 1 in
    `outside` do not exist. `areas`: in whole pixels.
    """
    edges = cv2.dilate(frame, SQUARE)
    edges ^= cv2.erode(frame, SQUARE)
    edge = np.flatnonzero(edges > outside)
    parts = probabilities.reshape(-1).take(edge).astype(np.float32)
    parts -= np.float32(2.55 * threshold_percent)
    parts /= np.maximum(_contrasts(probabilities, edge), 1)
    parts += np.float32(0.5)
    np.minimum(np.maximum(parts, 0, out=parts), 1, out=parts)  # np.clip takes several times as long
    covered = frame * np.uint8(255)
    covered.reshape(-1)[edge] = np.rint(parts * np.float32(255))
    crack = frame.reshape(-1).take(edge)
    parts -= crack  # what the whole pixels counted too much, or not at all
    return (
        covered,
        np.maximum(areas + np.bincount(owners(labels, edge), parts, areas.size), 0.5),
        edge[crack.view(bool)],
    )


def _contrasts(probabilities: NDArray[np.uint8], edge: Indices) -> NDArray[np.uint8]:
    """The range of probability in the 3x3 neighbourhood of each of these pixels, none of which lies on the frame's rim."""
    steps = square_steps(probabilities.shape[1])[:, None]
    contrasts = np.empty(edge.size, np.uint8)
    for start in range(0, edge.size, CHUNK):
        near = probabilities.reshape(-1).take(edge[start : start + CHUNK] + steps)
        contrasts[start : start + CHUNK] = near.max(axis=0) - near.min(axis=0)
    return contrasts


def owners(labels: NDArray[np.int32], edge: Indices) -> NDArray[np.int32]:
    """The crack of each edge pixel: its own, or one that it lies beside."""
    crack_of = labels.reshape(-1)
    owners = crack_of.take(edge)
    beside = np.flatnonzero(owners == 0)
    steps = ring_steps(labels.shape[1])[:, None]
    for start in range(0, beside.size, CHUNK):
        part = beside[start : start + CHUNK]
        owners[part] = crack_of.take(steps + edge.take(part), mode="clip").max(axis=0)  # beyond the frame is its rim
    return owners
