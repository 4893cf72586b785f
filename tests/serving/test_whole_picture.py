"""A whole picture in one run: scaled to the model's size, and its mask scaled back."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded, mask_of, overlap

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.environment import SettingsError
from crackseg_serving.failures import ModelFailure
from crackseg_serving.imaging import decode
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import loading
from crackseg_serving.segmentation import Output, segment
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving


def engine_of(path: Path, **env: str) -> Engine:
    engine = Engine(from_environment({"MODEL_PATH": str(path), "INFERENCE_DEVICE": "CPU", **env}), Metrics())
    engine.use(loading.load(engine.settings))
    return engine


def ask(engine: Engine, data: bytes, output: Output = Output.MASK) -> bytes:
    ticket = Ticket(time.monotonic() + 60)
    return engine.start(lambda: segment(engine, data, output, None, ticket), ticket).result()


def runs(engine: Engine) -> float:
    return engine.metrics.registry.get_sample_value("crackseg_batch_size_count") or 0.0


@pytest.fixture(scope="module")
def scaling(dark_model: Path) -> Engine:
    return engine_of(dark_model, INPUT_SIZE="128")


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(512, 512, id="twice as large"),
        pytest.param(400, 640, id="of another shape"),
        pytest.param(128, 128, id="of the very size"),
        pytest.param(60, 90, id="smaller"),
        pytest.param(1200, 1600, id="much larger"),
    ],
)
def test_the_mask_is_that_of_the_scaled_picture_enlarged(scaling: Engine, height: int, width: int):
    picture, course = cracked(height, width)
    found = mask_of(ask(scaling, encoded(picture)))
    small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_LINEAR).mean(axis=-1) / 255
    expected = cv2.resize((small < 0.4).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    assert (found == expected).mean() > 0.998
    assert overlap(found, course) > 0.4 or height > 1000  # a line of 7 pixels is one pixel there


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_of_twice_the_size_gives_the_mask_that_its_pixels_give(scaling: Engine, orientation: int):
    sides = (256, 256)
    picture, _ = cracked(*sides)
    noise = np.random.default_rng(3).integers(-25, 26, picture.shape)
    jpeg = encoded(np.clip(picture + noise, 0, 255).astype(np.uint8), ".jpg")
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHH", 8, 1, 274, 3, 1, orientation, 0) + b"\0\0\0\0"
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    png = encoded(decode(jpeg).pixels[..., ::-1])
    assert decode(jpeg, halved=True).pixels.shape == (128, 128, 3)
    assert (mask_of(ask(scaling, jpeg)) == mask_of(ask(scaling, png))).mean() > 0.995
    assert len(ask(scaling, jpeg, Output.OVERLAY)) > 1000


def test_one_run_for_a_picture_of_any_size(scaling: Engine):
    before = runs(scaling)
    ask(scaling, encoded(cracked(900, 1300)[0]))
    assert runs(scaling) - before == 1


def test_lengths_are_those_of_the_picture_as_it_came(scaling: Engine, dark_model: Path):
    data = encoded(cracked(512, 512)[0])
    scaled = orjson.loads(ask(scaling, data, Output.MEASUREMENTS))["measurements"]
    tiled = orjson.loads(ask(engine_of(dark_model), data, Output.MEASUREMENTS))["measurements"]
    assert scaled["imageWidthPixels"] == 512
    assert scaled["totalLengthPixels"] == pytest.approx(tiled["totalLengthPixels"], rel=0.05)
    assert scaled["cracks"][0]["meanWidthPixels"] == pytest.approx(tiled["cracks"][0]["meanWidthPixels"], rel=0.35)


@pytest.mark.parametrize(
    ("key", "env", "tile", "whole"),
    [
        pytest.param("128", {}, (128, 128), True, id="the model's metadata ask for it"),
        pytest.param("96,160", {}, (96, 160), True, id="height and width"),
        pytest.param("128", {"INPUT_SIZE": "64"}, (64, 64), True, id="the setting before the metadata"),
        pytest.param(
            "128", {"INPUT_SIZE": "0", "TILE_SIZE": "256"}, (256, 256), False, id="the setting asks for tiles"
        ),
        pytest.param("0", {"TILE_SIZE": "256"}, (256, 256), False, id="tiles where nobody asks"),
    ],
)
def test_who_decides(tmp_path: Path, key: str, env: dict[str, str], tile: tuple[int, int], *, whole: bool):
    path = DarkModel(metadata={"crackseg.input.size": key}).save(tmp_path / "model.onnx")
    model = engine_of(path, **env).model
    assert (model.whole, model.tile) == (whole, tile)


def test_a_size_that_the_graph_does_not_take_is_refused(tmp_path: Path):
    path = DarkModel(height=128, width=128).save(tmp_path / "model.onnx")
    with pytest.raises(ModelFailure, match="INPUT_SIZE"):
        engine_of(path, INPUT_SIZE="256")
    assert engine_of(path, INPUT_SIZE="128").model.whole


@pytest.mark.parametrize("text", ["big", "1,2,3", "4", "-256", "100000"])
def test_a_size_without_sense_is_refused(text: str):
    with pytest.raises(SettingsError, match="INPUT_SIZE"):
        from_environment({"INPUT_SIZE": text})
