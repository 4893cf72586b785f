"""PRECISION=Auto: the fastest of what a file brings, if it marks the same cracks; Exact: what the file says, whatever it brings."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tests.serving.conftest import Serve
from tests.serving.fetching import digest
from tests.serving.models import DarkModel, slowed
from tests.serving.pictures import cracked, encoded, mask_of

from crackseg_serving.contract import Report
from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime import choice, loading
from crackseg_serving.runtime.choice import View, find
from crackseg_serving.runtime.loading import Loaded, load
from crackseg_serving.runtime.providers import has_bfloat16
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving

SAMPLES = Path(__file__).parents[2] / "deploy/samples"
INT8, PHOTOGRAPHS = "crackseg.variant.int8", "crackseg.check.photographs"
BLANK = np.full((64, 64, 3), 170, np.uint8)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pictures(*which: Any) -> str:
    return ",".join(text(encoded(picture, ".jpg")) for picture in which)


CRACKED = pictures(cracked()[0], cracked(200, 256)[0])
QUICK = DarkModel().build().SerializeToString()
#: Its weights are off: ordinary grey is crack for it, too.
OTHER = DarkModel(scale=2).build().SerializeToString()


def save(path: Path, *, slow: bool = True, **more: str) -> Path:
    """A model that brings something: keys as in the metadata, with underscores for dots."""
    own = {"crackseg.name": "dark", "crackseg.output.activation": "sigmoid", "crackseg.precision": "FP32"}
    model = DarkModel(metadata=own).build()
    model = slowed(model) if slow else model
    for key, value in more.items():
        model.metadata_props.add(key=f"crackseg.{key.replace('_', '.')}", value=value)
    onnx.save(model, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A slow model with a quick variant that gives the same."""
    return save(tmp_path / "file.onnx", variant_int8=text(QUICK), check_photographs=CRACKED)


def loaded(path: Path, **settings: str) -> Loaded:
    env = {"MODEL_PATH": str(path), "PRECISION": "Auto", "INFERENCE_DEVICE": "CPU", **settings}
    return load(from_environment(env))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the runtime logs."""
    caplog.set_level(logging.INFO, "crackseg.runtime")
    return caplog


def candidates(told: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    (found,) = (line.__dict__["candidates"] for line in told.records if hasattr(line, "candidates"))
    return list(found)


def test_a_faster_variant_with_the_same_masks_serves_and_everything_says_so(serve: Serve, file: Path):
    exact, auto = (serve(MODEL_PATH=str(file), PRECISION=word).wait_ready() for word in ("Exact", "Auto"))
    photograph = encoded(cracked(300, 500)[0])
    masks = [mask_of(server.segment(photograph, "?output=mask").body) for server in (exact, auto)]
    own, *others = next(line for line in auto.lines if "candidates" in line)["candidates"]
    (chosen,) = (one for one in others if one["verdict"] == "chosen")

    assert auto.ask("GET", "/model/info").json["precision"] == "INT8"
    assert 'precision="INT8"' in auto.ask("GET", "/metrics").body.decode()
    assert next(line for line in auto.lines if line["message"] == "ready")["precision"] == "INT8"
    assert (own["precision"], own["verdict"]) == ("FP32", "another one is faster")
    assert (chosen["precision"], chosen["agreement"]) == ("INT8", 1)
    assert chosen["provider"] == auto.ask("GET", "/model/info").json["provider"]
    assert chosen["timesAsFast"] > 1.1
    assert chosen["milliseconds"] < own["milliseconds"]
    assert exact.ask("GET", "/model/info").json["precision"] == "FP32"
    assert masks[0].any()
    assert np.array_equal(*masks)


@pytest.mark.parametrize("precision", ["Exact", "Auto"])
def test_what_a_file_brings_is_shown_nowhere(serve: Serve, file: Path, precision: str):
    server = serve(MODEL_PATH=str(file), PRECISION=precision).wait_ready()

    for path in ("/model/info", "/v2/models/pavement/config"):
        shown = server.ask("GET", path).body.decode()
        assert "crackseg.precision" in shown
        assert text(QUICK)[:40] not in shown
        assert CRACKED[:40] not in shown


def test_exact_never_looks_into_what_a_file_brings(serve: Serve, tmp_path: Path):
    path = save(tmp_path / "file.onnx", variant_int8="not base64!", check_photographs="nor this")
    server = serve(MODEL_PATH=str(path)).wait_ready()

    assert server.ask("GET", "/model/info").json["precision"] == "FP32"
    assert mask_of(server.segment(encoded(cracked()[0]), "?output=mask").body).any()


def test_a_variant_whose_masks_differ_is_left_out(tmp_path: Path, told: pytest.LogCaptureFixture):
    path = save(tmp_path / "file.onnx", variant_int8=text(OTHER), check_photographs=CRACKED)

    assert loaded(path).session.precision == "FP32"
    own, *others = candidates(told)
    assert own["verdict"] == "chosen"
    assert all(other["agreement"] < 0.98 for other in others)
    assert {other["verdict"] for other in others} == {"left out: less than 0.98 of the masks agree"}


def test_a_variant_that_is_not_faster_is_not_taken(tmp_path: Path, told: pytest.LogCaptureFixture):
    same = slowed(DarkModel().build()).SerializeToString()
    path = save(tmp_path / "file.onnx", slow=False, variant_int8=text(same), check_photographs=CRACKED)

    assert loaded(path).session.precision == "FP32"
    assert candidates(told)[1]["verdict"] == "less than 1.1 times as fast as the file itself"


@pytest.mark.parametrize(
    ("variant", "why"),
    [
        pytest.param(DarkModel(height=64, width=64), "not those of the file", id="a size that is fixed"),
        pytest.param(DarkModel(channels=1), "not those of the file", id="grey pictures"),
        pytest.param(DarkModel(channels=5), "5 channels", id="channels that no picture has"),
        pytest.param(DarkModel(head="softmax"), "not those of the file", id="two classes"),
        pytest.param(b"an ONNX file this is not", "is not ONNX", id="no model"),
    ],
)
def test_a_variant_that_is_not_the_model_is_left_out(
    tmp_path: Path, told: pytest.LogCaptureFixture, variant: DarkModel | bytes, why: str
):
    data = variant if isinstance(variant, bytes) else variant.build().SerializeToString()
    path = save(tmp_path / "file.onnx", variant_int8=text(data), check_photographs=CRACKED)

    assert loaded(path).session.precision == "FP32"
    verdict = candidates(told)[1]["verdict"]
    assert verdict.startswith("left out: ")
    assert why in verdict


@pytest.mark.parametrize(
    ("brought", "words"),
    [
        pytest.param({"variant_int8": "%%%"}, f"{INT8} is not an ONNX file in base64", id="a variant not in base64"),
        pytest.param({"variant_int8": text(QUICK)[:-3]}, f"{INT8} is not an ONNX file", id="a variant cut short"),
        pytest.param({"check_photographs": "%%%"}, f"{PHOTOGRAPHS} is not a photograph in base64", id="no base64"),
        pytest.param({"check_photographs": text(b"hello")}, "photograph 1 is none", id="no picture"),
        pytest.param({"check_photographs": text(bytes(300_000))}, "262144 bytes at most", id="too large a picture"),
        pytest.param({"check_photographs": pictures(*[BLANK] * 33)}, "has 33 photographs", id="too many pictures"),
        pytest.param(
            {"check_photographs": pictures(np.zeros((1100, 1100, 3), np.uint8))}, "pixels", id="too many pixels"
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(tmp_path: Path, brought: dict[str, str], words: str):
    path = save(tmp_path / "file.onnx", **{"variant_int8": text(QUICK), "check_photographs": CRACKED, **brought})

    with pytest.raises(ModelFailure, match="the model's metadata: crackseg") as failed:
        loaded(path)
    assert failed.value.reason == "ContractMismatch"
    assert words in failed.value.message


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9, 0.999])
def test_a_file_cut_short_is_refused_as_any_other(file: Path, share: float):
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])

    with pytest.raises(ModelFailure) as failed:
        loaded(file)
    assert failed.value.reason == "ContractMismatch"


def test_such_a_file_ends_the_start_and_leaves_the_reason(serve: Serve, tmp_path: Path):
    server = serve(MODEL_PATH=str(save(tmp_path / "file.onnx", variant_int8="%%%")), PRECISION="Auto")

    assert server.wait() == 1
    report = Report.parse(server.termination_log.read_text())
    assert report
    assert report.reason == "ContractMismatch"
    assert INT8 in report.message


@pytest.mark.parametrize(
    ("brought", "why"),
    [
        pytest.param({}, "brings no photographs", id="no photographs"),
        pytest.param(
            {"check_photographs": pictures(BLANK)}, "finds no crack in the photographs", id="no cracks in them"
        ),
    ],
)
def test_without_something_to_check_by_a_file_is_computed_as_it_says(
    tmp_path: Path, told: pytest.LogCaptureFixture, brought: dict[str, str], why: str
):
    path = save(tmp_path / "file.onnx", variant_int8=text(QUICK), **brought)

    assert loaded(path).session.precision == "FP32"
    assert [why in line.getMessage() for line in told.records] == [True]


def test_a_variant_that_rounds_beyond_one_is_read_like_the_file(tmp_path: Path):
    variant = DarkModel().build()
    variant.graph.node[-1].output[:] = ["deep"]
    variant.graph.node.append(helper.make_node("Mul", ["deep", "rounding"], ["mask"]))
    variant.graph.initializer.append(numpy_helper.from_array(np.asarray(1.0005, np.float32), "rounding"))
    model = slowed(DarkModel().build())  # says nothing of what it has applied
    brought = {INT8: text(variant.SerializeToString()), PHOTOGRAPHS: CRACKED}
    helper.set_model_props(model, brought)
    onnx.save(model, tmp_path / "file.onnx")
    session = loaded(tmp_path / "file.onnx").session

    assert session.precision == "INT8"
    assert session.signature.output_format.activation == "sigmoid"


def test_a_model_that_takes_long_is_not_held_up(
    file: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(choice, "_LONG", 0.0)

    assert loaded(file).session.precision == "FP32"
    assert ["trying others would hold the start up" in line.getMessage() for line in told.records] == [True]


def test_the_pinned_digest_covers_what_a_file_brings(tmp_path: Path):
    path = save(tmp_path / "file.onnx", variant_int8=text(QUICK), check_photographs=CRACKED)
    pinned = digest(path.read_bytes())
    assert loaded(path, MODEL_SHA256=pinned).session.precision == "INT8"

    save(path, variant_int8=text(OTHER), check_photographs=CRACKED)
    with pytest.raises(ModelFailure) as failed:
        loaded(path, MODEL_SHA256=pinned)
    assert failed.value.reason == "DigestMismatch"


@pytest.mark.parametrize(
    ("settings", "view"),
    [
        pytest.param({}, View(512, whole=False, overlap=64, threshold_percent=50), id="smaller than a tile"),
        pytest.param(
            {"TILE_SIZE": "96", "TILE_OVERLAP": "24", "THRESHOLD_PERCENT": "80"},
            View(96, whole=False, overlap=24, threshold_percent=80),
            id="tiles and a threshold",
        ),
        pytest.param({"INPUT_SIZE": "128"}, View((128, 128), whole=True, overlap=64, threshold_percent=50), id="whole"),
    ],
)
def test_candidates_are_asked_as_requests_are_answered(serve: Serve, settings: dict[str, str], view: View):
    photograph = cv2.imread(str(SAMPLES / "photographs/branching.jpg"))
    assert photograph is not None
    piece = np.ascontiguousarray(photograph[160:440, 60:420])
    model = SAMPLES / "pavement-2.0.0.onnx"
    server = serve(MODEL_PATH=str(model), **settings).wait_ready()
    session = loaded(model, PRECISION="Exact", **settings).session

    answered = mask_of(server.segment(encoded(piece), "?output=mask").body)
    assert answered.any()
    assert np.array_equal(find(session, piece[..., ::-1].copy(), view) > 0, answered)


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        pytest.param("fpu avx2 avx512f avx512_bf16 avx512_vnni", True, id="AVX-512"),
        pytest.param("fpu avx2 amx_bf16 amx_tile", True, id="AMX"),
        pytest.param("fpu avx2 avx512f avx512bw avx512_vnni", False, id="neither"),
    ],
)
def test_bfloat16_is_only_for_processors_that_have_it(flags: str, *, has: bool):
    cpuinfo = f"processor\t: 0\nmodel name\t: some avx512_bf16 thing\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n"

    assert has_bfloat16(cpuinfo) is has


def test_a_processor_without_a_list_has_none():
    assert not has_bfloat16("")


@pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="the package onnxruntime-openvino is not installed (it replaces onnxruntime)",
)
def test_bfloat16_is_tried_where_image_and_processor_have_it(
    tmp_path: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    path = save(tmp_path / "file.onnx", check_photographs=CRACKED)
    monkeypatch.setattr(loading, "read_cpuinfo", lambda: "flags : avx512_bf16")
    loaded(path)

    assert [(one["precision"], one.get("provider")) for one in candidates(told)][1:] == [
        ("BF16", "OpenVINOExecutionProvider")
    ]
