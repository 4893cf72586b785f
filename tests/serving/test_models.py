"""Models of another make: other layouts, types, sizes, ranges and heads give the same mask, or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto
from tests.serving.conftest import Serve
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded, mask_of, overlap

pytestmark = pytest.mark.serving


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(DarkModel(), id="no metadata at all"),
        pytest.param(DarkModel(channels=1), id="one grey channel"),
        pytest.param(DarkModel(layout="NHWC"), id="channels last"),
        pytest.param(DarkModel(height=256, width=256), id="a fixed size"),
        pytest.param(DarkModel(height=96, width=160), id="a fixed size that is no square"),
        pytest.param(DarkModel(height=48, width=48), id="a fixed size smaller than the overlap"),
        pytest.param(DarkModel(batch=1), id="a fixed batch of one"),
        pytest.param(DarkModel(batch=4, height=128, width=128), id="a fixed batch of four"),
        pytest.param(DarkModel(dtype=TensorProto.FLOAT16), id="half precision"),
        pytest.param(DarkModel(dtype=TensorProto.UINT8, scale=255), id="bytes in"),
        pytest.param(DarkModel(scale=255, metadata={"crackseg.input.range": "0..255"}), id="a range of 0 to 255"),
        pytest.param(DarkModel(head="logits"), id="logits, told from their range"),
        pytest.param(
            DarkModel(head="logits", metadata={"crackseg.output.activation": "none"}), id="logits, as metadata say"
        ),
        pytest.param(DarkModel(head="softmax"), id="softmax of background and crack"),
        pytest.param(DarkModel(head="flat"), id="a mask without a channel axis"),
        pytest.param(DarkModel(metadata={"crackseg.input.multiple": "48"}), id="sizes in multiples of 48"),
    ],
)
def test_a_model_of_another_make_is_served_right(serve: Serve, tmp_path: Path, model: DarkModel):
    server = serve(MODEL_PATH=str(model.save(tmp_path / "model.onnx"))).wait_ready()
    picture, truth = cracked(300, 410)
    answer = server.segment(encoded(picture), "?output=mask")
    assert answer.status == 200, answer.body
    assert overlap(mask_of(answer.body), truth) > 0.9


def test_metadata_decide_name_version_and_threshold_where_settings_are_silent(serve: Serve, tmp_path: Path):
    metadata = {"crackseg.name": "bridge", "crackseg.version": "4.5", "crackseg.threshold_percent": "35"}
    path = str(DarkModel(metadata=metadata).save(tmp_path / "model.onnx"))
    silent = serve(MODEL_PATH=path, MODEL_NAME="").wait_ready().ask("GET", "/model/info").json
    assert (silent["name"], silent["version"], silent["thresholdPercent"]) == ("bridge", "4.5", 35)
    server = serve(MODEL_PATH=path, MODEL_NAME="road", MODEL_VERSION="5", THRESHOLD_PERCENT="80").wait_ready()
    spoken = server.ask("GET", "/model/info").json
    assert (spoken["name"], spoken["version"], spoken["thresholdPercent"]) == ("road", "5", 80)


def test_a_version_that_no_header_can_hold_is_still_served(serve: Serve, tmp_path: Path):
    path = str(DarkModel(metadata={"crackseg.version": "1.0 β\r\nX-Evil: 1"}).save(tmp_path / "model.onnx"))
    answer = serve(MODEL_PATH=path).wait_ready().ask("GET", "/model/info")
    assert answer.headers["x-model-version"] == "1.0 ???X-Evil: 1"
    assert "x-evil" not in answer.headers
    assert answer.json["version"] == "1.0 β\r\nX-Evil: 1"
