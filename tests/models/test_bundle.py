"""One file of a model, its variants, and photographs to check them by: made only of what belongs together and agrees."""

import base64
import json
import logging

import onnx
import pytest
from tests.models.conftest import SAMPLES

from crackseg_models.__main__ import main
from crackseg_serving.runtime.loading import load
from crackseg_serving.runtime.variants import take_apart
from crackseg_serving.settings import from_environment

MODEL, INT8 = SAMPLES / "pavement-2.0.0.onnx", SAMPLES / "pavement-2.0.0-int8.onnx"


def bundle(out, pictures, *variants, model=MODEL):
    return main(["bundle", str(model), *map(str, variants), "--images", str(pictures / "images"), "--out", str(out)])


def properties(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def changed(path, out, **more):
    """The file at `path` with other metadata, its graph the same."""
    file = onnx.load(path)
    onnx.helper.set_model_props(file, properties(path) | {f"crackseg.{key}": value for key, value in more.items()})
    onnx.save(file, out)
    return out


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundled") / "pavement.onnx"
    assert bundle(out, pictures, INT8) == 0
    return out


def test_a_bundle_is_the_model_and_what_it_brings(made):
    brought, plain = take_apart(made, decoded=True), onnx.load(MODEL)
    inside = onnx.load_from_string(brought.model)

    assert inside.graph == plain.graph
    variant = onnx.load_from_string(brought.variants["INT8"])
    assert variant.graph == onnx.load(INT8).graph
    assert not variant.metadata_props  # the model's hold
    assert 3 <= len(brought.photographs) <= 8
    assert max(map(len, brought.photographs)) < 64_000
    agreement = json.loads(properties(made)["crackseg.variant.int8.agreement"])
    assert set(agreement) == {"close-up", "survey", "check"}
    assert agreement["check"]["agreement"] >= 0.98


def test_a_server_tries_what_it_brings(made, caplog):
    with caplog.at_level(logging.INFO, "crackseg.runtime"):
        load(from_environment({"MODEL_PATH": str(made), "PRECISION": "Auto", "INFERENCE_DEVICE": "CPU"}))
    (told,) = (line.candidates for line in caplog.records if hasattr(line, "candidates"))

    assert [one["precision"] for one in told][:2] == ["FP32", "INT8"]
    assert told[1]["agreement"] >= 0.98
    print(f"INT8 is {told[1]['timesAsFast']} times as fast here")


def test_without_variants_it_brings_photographs_alone(pictures, tmp_path):
    assert bundle(tmp_path / "out.onnx", pictures) == 0
    brought = take_apart(tmp_path / "out.onnx", decoded=True)

    assert not brought.variants
    assert brought.photographs


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"source.digest": "sha256:00"}, "was not made of", id="made of another file"),
        pytest.param({"precision": "INT4"}, "is of precision INT4, expected INT8 or FP16", id="another precision"),
        pytest.param({"agreement": '{"wet": {"agreement": 0.97}}'}, "on wet less than 0.98", id="made below 0.98"),
        pytest.param({"agreement": '{"wet": 1}'}, "crackseg.agreement is not what quantize writes", id="other words"),
    ],
)
def test_a_variant_that_does_not_belong_is_refused(more, words, pictures, tmp_path, capsys):
    variant = changed(INT8, tmp_path / "variant.onnx", **more)

    assert bundle(tmp_path / "out.onnx", pictures, variant) == 2
    assert words in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"variant.onnx"}


def test_a_variant_whose_masks_differ_on_the_photographs_is_refused(pictures, tmp_path, capsys):
    other = onnx.load(SAMPLES / "pavement-1.0.0.onnx")
    onnx.helper.set_model_props(other, properties(INT8))
    onnx.save(other, tmp_path / "variant.onnx")

    assert bundle(tmp_path / "out.onnx", pictures, tmp_path / "variant.onnx") == 2
    assert "on check less than 0.98 of the mask agrees" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"variant.onnx"}


def test_a_bundle_of_a_bundle_is_refused(made, pictures, tmp_path, capsys):
    assert bundle(tmp_path / "out.onnx", pictures, model=made) == 2
    assert "is a bundle already" in capsys.readouterr().err


def test_a_variant_of_a_bundle_is_refused(made, pictures, tmp_path, capsys):
    out = tmp_path / "out.onnx"

    assert main(["quantize", str(made), "--images", str(pictures / "images"), "--out", str(out)]) == 2
    assert "is a bundle already" in capsys.readouterr().err
    assert not out.exists()


def test_what_a_bundle_brings_is_text(made):
    for key in ("crackseg.variant.int8", "crackseg.check.photographs"):
        for part in properties(made)[key].split(","):
            assert base64.b64decode(part, validate=True)
