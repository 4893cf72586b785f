"""Every path of the server, asked of a real process."""

from __future__ import annotations

import json

import pytest
from tests.serving.pictures import cracked, encoded, mask_of, overlap
from tests.serving.process import ServerProcess
from tests.serving.waiting import until

pytestmark = pytest.mark.serving


def test_health_and_ready_say_so_with_a_reason(server: ServerProcess):
    assert server.ask("GET", "/health").json == {"status": "alive"}
    ready = server.ask("GET", "/ready")
    assert (ready.status, ready.json["ready"], ready.json["reason"]) == (200, True, "Serving")


def test_every_answer_carries_the_version_and_a_request_id(server: ServerProcess):
    for path in ("/health", "/ready", "/metrics", "/model/info", "/v2", "/nothing/here"):
        answer = server.ask("GET", path, headers={"X-Request-Id": f"test-{path}"})
        assert answer.headers["x-model-version"] == "1.2.3", path
        assert answer.headers["x-request-id"] == f"test-{path}"
    assert len(server.ask("GET", "/health").headers["x-request-id"]) == 16


def test_an_insane_request_id_is_replaced(server: ServerProcess):
    answer = server.ask("GET", "/health", headers={"X-Request-Id": "x" * 1000})
    assert len(answer.headers["x-request-id"]) == 16


def test_model_info_tells_model_digest_and_input(server: ServerProcess):
    info = server.ask("GET", "/model/info").json
    assert info["name"] == "pavement"
    assert info["version"] == "1.2.3"
    assert info["digest"].startswith("sha256:")
    assert info["provider"] == "CPUExecutionProvider"
    assert info["thresholdPercent"] == 50
    assert info["input"]["shape"] == [None, 3, None, None]
    assert (info["input"]["range"], info["output"]["crackChannel"]) == ("0..1", 0)
    assert info["metadata"]["crackseg.name"] == "dark"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_a_photograph_gives_the_mask_of_its_crack(server: ServerProcess, suffix: str):
    picture, truth = cracked()
    answer = server.segment(encoded(picture, suffix), "?output=mask")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert overlap(mask_of(answer.body), truth) > 0.9


def test_a_form_with_a_part_named_image_does_the_same_as_a_raw_body(server: ServerProcess):
    data = encoded(cracked()[0])
    form = (
        b'--frontier\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + data
        + b"\r\n--frontier--\r\n"
    )
    answer = server.segment(form, "?output=mask", **{"Content-Type": "multipart/form-data; boundary=frontier"})
    assert answer.status == 200, answer.body
    assert answer.body == server.segment(data, "?output=mask").body


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        pytest.param("application/json", "", "application/json", id="JSON when JSON is accepted"),
        pytest.param("image/png", "", "image/png", id="a mask when PNG is accepted"),
        pytest.param("*/*", "", "application/json", id="JSON when anything is accepted"),
        pytest.param("text/html, image/png;q=0.5", "", "image/png", id="the first type that we have"),
        pytest.param("application/json", "?output=overlay", "image/png", id="the query before the header"),
    ],
)
def test_output_is_chosen_by_query_and_accept(server: ServerProcess, accept: str, query: str, expected: str):
    answer = server.segment(encoded(cracked()[0]), query, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, expected)


def test_json_has_measurements_polygons_and_says_by_which_model(server: ServerProcess):
    picture, _ = cracked()
    answer = server.segment(encoded(picture), "?output=json").json
    assert answer["model"]["version"] == "1.2.3"
    assert answer["image"] == {"width": 320, "height": 256, "format": "PNG"}
    assert answer["thresholdPercent"] == 50
    (crack,) = answer["measurements"]["cracks"]
    assert len(crack["polygon"]["outer"]) > 3
    assert 200 < crack["lengthPixels"] < 330


def test_millimetres_come_only_with_a_scale(server: ServerProcess):
    data = encoded(cracked()[0])
    assert b"Millimetres" not in server.segment(data).body
    scaled = server.segment(data, "?millimetresPerPixel=0.5").json["measurements"]["cracks"][0]
    assert scaled["lengthMillimetres"] == pytest.approx(scaled["lengthPixels"] / 2, rel=0.01)


def test_metrics_count_what_was_done(server: ServerProcess):
    name = 'crackseg_request_duration_seconds_count{code="200",endpoint="/v1/segment"}'
    server.segment(encoded(cracked()[0]))
    before = server.metric(name)
    server.segment(encoded(cracked()[0]))
    assert server.metric(name) == before + 1
    until(lambda: server.metric("crackseg_queue_depth") == 0, "an empty queue")
    for stage in ("queue", "decode", "inference", "encode"):
        assert server.metric(f'crackseg_stage_duration_seconds_count{{stage="{stage}"}}') >= before
    assert server.metric("crackseg_batch_size_count") >= before
    assert server.metric("crackseg_ready") == 1


def test_unknown_paths_and_wrong_methods_are_problems(server: ServerProcess):
    nothing = server.ask("GET", "/nothing")
    assert (nothing.status, nothing.headers["content-type"]) == (404, "application/problem+json")
    wrong = server.ask("GET", "/v1/segment")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, OPTIONS")
    assert json.loads(wrong.body)["status"] == 405


def test_head_has_the_headers_and_no_body(server: ServerProcess):
    answer = server.ask("HEAD", "/ready")
    assert (answer.status, answer.body) == (200, b"")
