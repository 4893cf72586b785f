"""Run a model file on whole photographs with onnxruntime, the way its own metadata ask for. No torch."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from crackseg_models.metadata import Metadata, parse

LARGEST_SIDE = 2048  # pixels: larger photographs are cut into pieces of this side with an overlap
OVERLAP = 128


class Model:
    """A loaded model file; ValueError says what is wrong with a file that is none of ours."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise ValueError(f"{path} is not a model that onnxruntime can load: {error}") from error
        self.metadata: Metadata = parse(self.session.get_modelmeta().custom_metadata_map)

    def probabilities(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Picture [H, W, 3] RGB of any size -> probability of a crack [H, W]."""
        height, width = picture.shape[:2]
        answer = np.zeros((height, width), np.float32)
        for top in _starts(height):
            for left in _starts(width):
                piece = picture[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
                part = answer[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
                np.maximum(part, self._piece(piece), out=part)
        return answer

    def mask(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where the probability reaches the model's own threshold."""
        return np.asarray(self.probabilities(picture) >= self.metadata.threshold_percent / 100)

    def _piece(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = picture.shape[:2]
        below, right = -height % self.metadata.multiple, -width % self.metadata.multiple
        padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        mean, std = np.array(self.metadata.mean, np.float32), np.array(self.metadata.std, np.float32)
        tensor = ((padded.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
        output = self.session.run(["mask"], {"image": np.ascontiguousarray(tensor)})[0]
        return np.asarray(output[0, 0, :height, :width], np.float32)


def _starts(length: int) -> list[int]:
    """Where pieces begin along one side, so that they cover it with the overlap."""
    if length <= LARGEST_SIDE:
        return [0]
    step = LARGEST_SIDE - OVERLAP
    return [*range(0, length - LARGEST_SIDE, step), length - LARGEST_SIDE]
