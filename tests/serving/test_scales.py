"""How a request says the photograph's scale, and what the answer says of it."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.imaging.cards import Shot, photographed
from tests.serving.imaging.drawing import line
from tests.serving.pictures import cracked, encoded, mask_of
from tests.serving.process import Answer, ServerProcess

pytestmark = pytest.mark.serving

MARKED = "?calibrationMarkerMillimetres=50"


def with_card() -> NDArray[np.uint8]:
    """A light road with a black crack of 240 pixels, 7 wide, and a card beside it at 2 pixels a millimetre."""
    ground = (245 - 0.92 * line([(120, 270), (360, 270)], 7, (320, 480))).astype(np.uint8)
    return photographed(ground, Shot(100, (240, 120), 12))


@pytest.fixture(scope="module")
def card() -> bytes:
    return encoded(with_card())


def is_problem(answer: Answer, status: int, *words: str) -> bool:
    document = answer.json
    return answer.status == document["status"] == status and all(word in document["detail"] for word in words)


def test_a_marker_gives_millimetres_and_says_how_well(server: ServerProcess, card: bytes):
    measured = server.segment(card, MARKED + "&output=json").json["measurements"]
    assert measured["scale"]["source"] == "Marker"
    assert measured["scale"]["millimetresPerPixel"] == measured["millimetresPerPixel"] == pytest.approx(0.5, rel=0.01)
    assert 0.4 <= measured["scale"]["errorPercent"] <= 1
    (marker,) = measured["scale"]["markers"]
    assert np.mean(marker["corners"], axis=0) == pytest.approx((240.5, 120.5), abs=1.5)
    (crack,) = measured["cracks"]
    assert crack["lengthMillimetres"] == pytest.approx(120, abs=crack["lengthErrorMillimetres"])
    assert crack["meanWidthMillimetres"] == pytest.approx(3.5, abs=crack["meanWidthErrorMillimetres"])
    assert crack["severity"] == "Low"


def test_the_card_is_no_crack_in_any_answer(server: ServerProcess, card: bytes):
    assert mask_of(server.segment(card, "?output=mask").body)[70:170, 190:290].any()  # the model does see its print
    mask = mask_of(server.segment(card, MARKED + "&output=mask").body)
    assert not mask[:200].any()
    assert mask[270, 130:350].all()
    rows = server.segment(card, MARKED + "&output=csv").body.decode().splitlines()
    assert len(rows) == 2
    assert "meanWidthErrorMillimetres" in rows[0]
    features = server.segment(card, MARKED + "&output=geojson").json["features"]
    assert [feature["properties"]["severity"] for feature in features] == ["Low"]


def test_every_form_of_a_request_can_have_a_marker(server: ServerProcess, card: bytes):
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + card + b"\r\n--x--\r\n"
    in_json = json.dumps({"image": base64.b64encode(card).decode()}).encode()
    plain = server.segment(card, MARKED).json
    assert server.segment(form, MARKED, **{"Content-Type": "multipart/form-data; boundary=x"}).json == plain
    assert server.segment(in_json, MARKED, **{"Content-Type": "application/json"}).json == plain


def test_a_marker_asked_for_and_not_there_is_a_problem_of_that_picture_alone(server: ServerProcess, card: bytes):
    without = encoded(cracked()[0])
    assert is_problem(server.segment(without, MARKED), 422, "no calibration marker", "AprilTag", "36h11")
    part = b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\n%b\r\n'
    form = part % without + part % card + b"--x--\r\n"
    first, second = server.segment(form, MARKED, **{"Content-Type": "multipart/form-data; boundary=x"}).json
    assert first["problem"]["title"] == "Calibration failed"
    assert second["result"]["measurements"]["scale"]["source"] == "Marker"


def test_two_points_with_a_known_distance_give_the_scale(server: ServerProcess):
    query = "?referenceLine=10,20,10,220&referenceLengthMillimetres=100&scaleErrorPercent=0.5"
    measured = server.segment(encoded(cracked()[0]), query).json["measurements"]
    assert measured["scale"] == {"millimetresPerPixel": 0.5, "errorPercent": 1.5, "source": "Reference"}
    assert measured["totalLengthMillimetres"] == pytest.approx(measured["totalLengthPixels"] / 2, abs=0.01)


def test_a_given_scale_may_be_inexact(server: ServerProcess):
    data = encoded(cracked()[0])
    exact, rough = (
        server.segment(data, f"?millimetresPerPixel=0.5{more}").json["measurements"]["cracks"][0]
        for more in ("", "&scaleErrorPercent=4")
    )
    assert rough["lengthMillimetres"] == exact["lengthMillimetres"]
    more = rough["lengthErrorMillimetres"] - exact["lengthErrorMillimetres"]
    assert more == pytest.approx(0.04 * (exact["lengthMillimetres"] + exact["lengthErrorMillimetres"]), abs=0.01)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        pytest.param("?millimetresPerPixel=1&calibrationMarkerMillimetres=5", "send one of them", id="two scales"),
        pytest.param("?referenceLine=1,2,3,400", "send both", id="a line without a length"),
        pytest.param("?referenceLengthMillimetres=3", "send both", id="a length without a line"),
        pytest.param("?referenceLine=1,2,3&referenceLengthMillimetres=3", "x1,y1,x2,y2", id="three numbers"),
        pytest.param("?referenceLine=1,1,5,5&referenceLengthMillimetres=3", "5.7 pixels apart", id="a line too short"),
        pytest.param("?referenceLine=1,1,inf,5&referenceLengthMillimetres=3", "referenceLine", id="an endless line"),
        pytest.param("?referenceLine=1,1,nan,5&referenceLengthMillimetres=3", "referenceLine", id="no point"),
        pytest.param("?calibrationMarkerMillimetres=0", "calibrationMarkerMillimetres", id="a marker without size"),
        pytest.param("?millimetresPerPixel=1e300", "1e+06", id="a pixel larger than the world"),
        pytest.param("?calibrationMarkerMillimetres=1e-9", "1e-06", id="a marker smaller than an atom"),
        pytest.param(
            "?referenceLine=0,0,1e308,1e308&referenceLengthMillimetres=5", "must be from", id="a line without sense"
        ),
        pytest.param("?scaleErrorPercent=3", "needs a scale", id="an error of nothing"),
        pytest.param("?millimetresPerPixel=1&scaleErrorPercent=100", "below 100", id="an error of all"),
        pytest.param("?millimetresPerPixel=1&scaleErrorPercent=x", "below 100", id="an error that is no number"),
    ],
)
def test_a_scale_without_sense_is_refused(server: ServerProcess, query: str, word: str):
    assert is_problem(server.segment(encoded(cracked()[0]), query), 400, word)
