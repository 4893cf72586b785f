"""What a model is given, and what its answer is taken for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests.serving.imaging.drawing import photograph

from crackseg_serving.imaging import InputFormat, OutputFormat, threshold, to_probabilities, to_tensor

pytestmark = pytest.mark.serving

IMAGES = [photograph(12, 20, seed) for seed in range(3)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("layout", "channels", "maximum", "normalisation"),
    list(itertools.product(["NCHW", "NHWC"], ["RGB", "BGR"], [1.0, 255.0], [(MEAN, STD), ((0.5,), (0.25,))])),
)
def test_pixels_become_the_tensor_that_the_metadata_ask_for(
    layout: Any, channels: Any, maximum: float, normalisation: Any
):
    mean, std = normalisation
    tensor = to_tensor(IMAGES, InputFormat(layout, channels, maximum, mean, std))
    pixels = np.stack(IMAGES).astype(np.float64) / 255 * maximum
    expected = ((pixels if channels == "RGB" else pixels[..., ::-1]) - mean) / std
    if layout == "NCHW":
        expected = np.moveaxis(expected, -1, 1)
    assert (tensor.dtype, tensor.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(tensor, expected, rtol=1e-5, atol=2e-5 * maximum)


def test_a_grey_model_gets_one_channel_of_luminance():
    tensor = to_tensor(IMAGES[:1], InputFormat(channels="GRAY", maximum=255.0))
    assert tensor.shape == (1, 1, 12, 20)
    np.testing.assert_allclose(tensor[0, 0], IMAGES[0] @ [0.299, 0.587, 0.114], atol=1)


LOGITS = np.random.default_rng(1).normal(0, 4, (2, 3, 8, 9)).astype(np.float32)
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
SIGMOID = 1 / (1 + np.exp(-LOGITS[:, :1]))


@pytest.mark.parametrize(
    ("output", "form", "expected"),
    [
        pytest.param(SIGMOID, OutputFormat(), SIGMOID[:, 0], id="probabilities"),
        pytest.param(SIGMOID[:, 0], OutputFormat(), SIGMOID[:, 0], id="probabilities without a channel axis"),
        pytest.param(SIGMOID.astype(np.float16), OutputFormat(), SIGMOID[:, 0], id="half precision"),
        pytest.param(LOGITS[:, :1], OutputFormat(activation="none"), SIGMOID[:, 0], id="logits of one class"),
        pytest.param(LOGITS, OutputFormat(activation="none", crack_class=2), SOFTMAX[:, 2], id="logits of three classes"),
        pytest.param(SOFTMAX, OutputFormat(activation="softmax", crack_class=1), SOFTMAX[:, 1], id="softmax"),
        pytest.param(np.moveaxis(SOFTMAX, 1, -1), OutputFormat("NHWC", "softmax", 1), SOFTMAX[:, 1], id="softmax, channels last"),
    ],
)  # fmt: skip
def test_outputs_become_probabilities(output: Any, form: OutputFormat, expected: Any):
    probabilities = to_probabilities(output, form, (8, 9))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, atol=2e-3 if output.dtype == np.float16 else 1e-6)


def test_logits_beyond_the_range_of_floats_are_sure():
    logits = np.array([[[[-1e9, 1e9]]]], np.float32)
    np.testing.assert_allclose(to_probabilities(logits, OutputFormat(activation="none"), (1, 2)), [[[0, 1]]], atol=1e-9)


def test_a_coarser_output_is_scaled_to_the_tile():
    probabilities = to_probabilities(np.full((1, 1, 16, 16), 0.25, np.float32), OutputFormat(), (64, 48))
    assert probabilities.shape == (1, 64, 48)
    np.testing.assert_allclose(probabilities, 0.25)


def test_an_output_that_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="axes"):
        to_probabilities(np.zeros((1, 1000), np.float32), OutputFormat(), (8, 8))


@pytest.mark.parametrize("percent", [1, 25, 50, 90, 100])
def test_the_threshold_takes_what_reaches_it(percent: int):
    probabilities = np.arange(256, dtype=np.uint8)[None]
    mask = threshold(probabilities, percent)
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(mask[0] == 255, np.arange(256) >= round(2.55 * percent))


@pytest.mark.parametrize("percent", [0, 101])
def test_a_threshold_out_of_range_is_refused(percent: int):
    with pytest.raises(ValueError, match="from 1 to 100"):
        threshold(np.zeros((2, 2), np.uint8), percent)
