"""Files of smaller precision: made of a model, carrying its metadata, and kept only where the masks stay the same."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from crackseg_models.__main__ import main
from crackseg_models.bad import KINDS
from crackseg_models.photographs import held_back
from crackseg_models.prediction import Model
from crackseg_models.quantize import photographs

SAMPLES = Path(__file__).parents[2] / "deploy/samples"


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory, sample):
    """The sample in both precisions."""
    folder = tmp_path_factory.mktemp("made")
    for precision in ("INT8", "FP16"):
        out = folder / f"{precision}.onnx"
        assert quantize(sample, pictures, out, "--precision", precision, minimum=0.9) == 0
    return folder


@pytest.fixture(scope="module")
def sample():
    return SAMPLES / "pavement-2.0.0.onnx"


def quantize(model, pictures, out, *more, minimum):
    folders = ["--images", str(pictures / "images"), "--masks", str(pictures / "masks")]
    return main(["quantize", str(model), *folders, "--out", str(out), "--minimum-agreement", str(minimum), *more])


def properties(path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("precision", ["INT8", "FP16"])
def test_a_variant_finds_the_cracks_that_its_source_finds(precision, made, sample, pictures):
    source, variant = Model(sample), Model(made / f"{precision}.onnx")
    masks = [
        (source.mask(image), variant.mask(image))
        for image in (read(path) for path in sorted((pictures / "images").iterdir()))
    ]
    both = sum(int((a & b).sum()) for a, b in masks)
    either = sum(int((a | b).sum()) for a, b in masks)

    assert either > 1000
    assert both / either > 0.95


def read(path):
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("precision", ["INT8", "FP16"])
def test_a_variant_says_of_which_file_it_was_made_and_how_near_it_is(precision, made, sample):
    before, after = properties(sample), properties(made / f"{precision}.onnx")
    own = {"version", "precision", "source.digest", "source.version", "agreement"}

    carried = {key for key in before if key not in {"crackseg.version", "crackseg.metrics"}}
    assert {key: after.get(key) for key in carried} == {key: before[key] for key in carried}
    assert set(after) - carried == {f"crackseg.{key}" for key in own}
    assert after["crackseg.precision"] == precision
    assert after["crackseg.version"] == f"2.0.0-{precision.lower()}"
    assert after["crackseg.source.version"] == "2.0.0"
    assert after["crackseg.source.digest"] == f"sha256:{hashlib.sha256(sample.read_bytes()).hexdigest()}"
    (figures,) = json.loads(after["crackseg.agreement"]).values()
    assert 0.9 <= figures["agreement"] <= 1
    assert figures["pictures"] >= 1
    assert abs(figures["iou"] - figures["source_iou"]) < 0.1


def test_int8_computes_between_the_first_and_the_last_convolution(made):
    graph = onnx.load(made / "INT8.onnx").graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    plain = [n for n in graph.node if n.op_type == "Conv" and makers.get(n.input[0]) != "DequantizeLinear"]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]

    assert len(convolutions) > 30
    # the last one takes what was computed in 8 bits, but its own weights and its answer keep theirs
    assert [node.name for node in plain] == [convolutions[0].name]
    assert makers.get(convolutions[-1].input[1]) != "DequantizeLinear"


def test_int8_weights_leave_room_for_processors_that_add_in_16_bits(made):
    graph = onnx.load(made / "INT8.onnx").graph
    weights = [
        numpy_helper.to_array(t) for t in graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) == 4
    ]

    assert len(weights) > 30
    assert all(np.abs(values.astype(int)).max() <= 64 for values in weights)
    assert max(np.abs(values.astype(int)).max() for values in weights) > 60  # and use what they have


def test_fp16_keeps_what_goes_in_and_comes_out(made):
    session = onnxruntime.InferenceSession(str(made / "FP16.onnx"), providers=["CPUExecutionProvider"])
    types = {t.data_type for t in onnx.load(made / "FP16.onnx").graph.initializer if len(t.dims) == 4}

    assert (session.get_inputs()[0].type, session.get_outputs()[0].type) == ("tensor(float)", "tensor(float)")
    assert TensorProto.FLOAT16 in types


def test_a_variant_whose_masks_differ_too_much_is_not_written(sample, pictures, tmp_path, capsys):
    out = tmp_path / "worse.onnx"

    assert quantize(sample, pictures, out, minimum=1.0) == 2
    assert "is not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_pictures_in_which_nothing_is_found_prove_nothing(sample, tmp_path, capsys):
    for sub in ("images", "masks"):
        (tmp_path / sub).mkdir()
    for level in range(40):
        cv2.imwrite(str(tmp_path / "images" / f"{level}.png"), np.full((64, 64, 3), 100 + level, np.uint8))

    assert quantize(sample, tmp_path, tmp_path / "out.onnx", minimum=0.5) == 2
    assert "finds no crack" in capsys.readouterr().err


def test_a_variant_of_a_variant_is_refused(made, pictures, tmp_path, capsys):
    assert quantize(made / "INT8.onnx", pictures, tmp_path / "twice.onnx", minimum=0.5) == 2
    assert "quantized already" in capsys.readouterr().err


def test_a_graph_without_a_network_in_it_is_refused(pictures, tmp_path, capsys):
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(KINDS["slow"](b""))

    assert quantize(plain, pictures, tmp_path / "out.onnx", minimum=0.5) == 2
    assert "no convolution between" in capsys.readouterr().err


def test_a_model_without_a_version_needs_one(sample, pictures, tmp_path, capsys):
    plain = onnx.load(sample)
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")

    assert quantize(tmp_path / "plain.onnx", pictures, tmp_path / "out.onnx", minimum=0.5) == 2
    assert "--version" in capsys.readouterr().err


def test_what_is_no_model_is_refused_with_a_sentence(pictures, tmp_path, capsys):
    page = tmp_path / "page.onnx"
    page.write_bytes(KINDS["not-onnx"](b""))

    assert quantize(page, pictures, tmp_path / "out.onnx", minimum=0.5) == 2
    assert str(page) in capsys.readouterr().err


def test_photographs_that_are_compared_never_calibrate(pictures):
    found = photographs([(pictures / "images", pictures / "masks")])
    (compared,) = found.check.values()

    assert all(held_back(picture.image) for picture in compared)
    assert not any(held_back(picture.image) for picture in found.calibration)
    assert len(compared) + len(found.calibration) == 12


def test_photographs_need_no_masks(pictures):
    found = photographs([(pictures / "images", None)])

    assert {picture.mask for picture in found.calibration} == {None}


def test_too_few_photographs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="too few"):
        photographs([(tmp_path, None)])
